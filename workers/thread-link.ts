import { Worker } from "node:worker_threads";
import type { Logger } from "../core/environment.ts";
import { type Ask, errorFrom, type Request, type ThreadData, type Told } from "./messages.ts";

/** The thread ended before it answered. */
export class ThreadEnded extends Error {
  constructor(cause: unknown) {
    super("The worker thread ended", { cause });
    this.name = "ThreadEnded";
  }
}

interface Pending {
  readonly resolve: (value: unknown) => void;
  readonly reject: (error: unknown) => void;
}

/** The main thread's end of one worker thread. */
export class ThreadLink {
  /** Resolves when its lanes are open; rejects when it can't start. */
  readonly ready: Promise<void>;
  /** Resolves when the thread is gone, with why if it was not asked to. */
  readonly ended: Promise<Error | undefined>;
  readonly #worker: Worker;
  readonly #logger: Logger;
  readonly #pending = new Map<number, Pending>();
  readonly #ready = Promise.withResolvers<void>();
  #nextId = 0;
  #failure: Error | undefined;
  #over = false;

  constructor(options: { readonly entry: URL; readonly data: ThreadData; readonly logger: Logger }) {
    this.#logger = options.logger;
    this.#worker = new Worker(options.entry, { workerData: options.data, name: options.data.workerId });
    this.ready = this.#ready.promise;
    // Whoever starts a thread awaits `ready`; a pool that stops meanwhile need not.
    this.ready.catch(() => undefined);
    this.#worker.on("message", (told: Told) => this.#hear(told));
    this.#worker.on("error", (error) => (this.#failure = error instanceof Error ? error : new Error(String(error))));
    this.ended = new Promise((resolve) => {
      this.#worker.on("exit", () => {
        this.#over = true;
        const ended = new ThreadEnded(this.#failure);
        this.#ready.reject(this.#failure ?? ended);
        for (const { reject } of this.#pending.values()) reject(ended);
        this.#pending.clear();
        resolve(this.#failure);
      });
    });
  }

  /** Rejects with what the thread refused, or with `ThreadEnded`. */
  ask<T>(request: Request): Promise<T> {
    if (this.#over) return Promise.reject(new ThreadEnded(this.#failure));
    const id = this.#nextId++;
    return new Promise<unknown>((resolve, reject) => {
      this.#pending.set(id, { resolve, reject });
      this.#worker.postMessage({ id, request } satisfies Ask);
    }) as Promise<T>;
  }

  async terminate(): Promise<void> {
    await this.#worker.terminate();
    await this.ended;
  }

  #hear(told: Told): void {
    switch (told.type) {
      case "ready":
        return this.#ready.resolve();
      case "failed":
        this.#failure = errorFrom(told.error);
        this.#ready.reject(this.#failure);
        return void this.#worker.terminate();
      case "log":
        return this.#logger[told.level](told.fields, told.message);
      case "answer":
        return this.#settle(told.id)?.resolve(told.value);
      case "refusal":
        return this.#settle(told.id)?.reject(errorFrom(told.error));
    }
  }

  #settle(id: number): Pending | undefined {
    const pending = this.#pending.get(id);
    this.#pending.delete(id);
    return pending;
  }
}
