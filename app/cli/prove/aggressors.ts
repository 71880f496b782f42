import { Worker } from "node:worker_threads";
import type { AggressorKind } from "./kinds.ts";
import type { AggressorSums, Order, Overloaded } from "./messages.ts";
import type { Door } from "./sender.ts";

// Source runs as .ts, the built package as .js.
const ENTRY = new URL(`./aggressor-thread${import.meta.url.endsWith(".ts") ? ".ts" : ".js"}`, import.meta.url);

/** The thread of the aggressors. One order at a time. */
export class Aggressors {
  readonly sinkUrl: string;
  readonly #worker: Worker;

  private constructor(worker: Worker, sinkUrl: string) {
    this.#worker = worker;
    this.sinkUrl = sinkUrl;
  }

  static async start(): Promise<Aggressors> {
    const worker = new Worker(ENTRY, { name: "aggressors" });
    const { sinkUrl } = await next<{ sinkUrl: string }>(worker);
    return new Aggressors(worker, sinkUrl);
  }

  async begin(kind: AggressorKind, door: Door, victimRate: number): Promise<void> {
    await this.#ask({ type: "begin", kind, door, victimRate });
  }

  end(drains: boolean): Promise<AggressorSums> {
    return this.#ask({ type: "end", drains });
  }

  overload(doors: readonly Door[], ms: number): Promise<Overloaded> {
    return this.#ask({ type: "overload", doors, ms });
  }

  async stop(): Promise<void> {
    await this.#worker.terminate();
  }

  #ask<T>(order: Order): Promise<T> {
    const answer = next<T>(this.#worker);
    this.#worker.postMessage(order);
    return answer;
  }
}

function next<T>(worker: Worker): Promise<T> {
  return new Promise((resolve, reject) => {
    const settle = (end: () => void): void => {
      worker.off("message", onMessage).off("error", onError);
      end();
    };
    const onMessage = (message: T): void => settle(() => resolve(message));
    const onError = (error: unknown): void => settle(() => reject(error));
    worker.on("message", onMessage).on("error", onError);
  });
}
