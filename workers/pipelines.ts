import type { PluginUse, TenantConfig } from "../core/ingestion/revision.ts";
import { compileRoute } from "../core/router/route.ts";
import { Calls } from "./call.ts";
import { type Prepared, runChain, type Stages } from "./chain.ts";
import { transformOf } from "./definitions.ts";
import type { WorkerDeps } from "./deps.ts";
import { Chain, untilReady } from "./transforms.ts";

const CLOSE_MS = 5_000;

/** Transforms and routes of several configurations of one tenant, beside those that run; each started when it is first needed. */
export class Pipelines {
  readonly #deps: WorkerDeps;
  readonly #tenantId: string;
  readonly #chains = new Map<string, Promise<Chain>>();
  readonly #calls: Calls;

  constructor(deps: WorkerDeps, tenantId: string) {
    this.#deps = deps;
    this.#tenantId = tenantId;
    this.#calls = new Calls(deps.timers);
  }

  /** What the configuration makes of an event for a sink. Rejects when a transform does not start. */
  async run(options: {
    readonly tenant: TenantConfig;
    readonly sink: string;
    readonly bytes: Buffer;
  }): Promise<Prepared> {
    const { tenant, sink: id, bytes } = options;
    const sink = tenant.sinks.find((one) => one.id === id);
    if (sink === undefined) return { type: "filtered", reason: "the sink was not there" };
    const stages: Stages = {
      shared: (await this.#chain(tenant.transforms)).transforms,
      route: compileRoute(tenant.sinks, id),
      branch: (await this.#chain(sink.transforms ?? [])).transforms,
    };
    const [prepared] = await runChain({
      ...{ stages, inputs: [{ bytes, attempt: 1 }], timeoutMs: sink.retry.timeoutMs },
      ...{ calls: this.#calls, pace: this.#deps.pace },
    });
    return prepared ?? { type: "failed", stage: "decode", code: "aborted", reason: "it was cut off", retryable: true };
  }

  async close(): Promise<void> {
    const chains = await Promise.allSettled(this.#chains.values());
    const started = chains.flatMap((chain) => (chain.status === "fulfilled" ? chain.value : []));
    await Promise.all(started.map((chain) => chain.close(CLOSE_MS)));
  }

  #chain(uses: readonly PluginUse[]): Promise<Chain> {
    const key = JSON.stringify(uses);
    const running = this.#chains.get(key);
    if (running !== undefined) return running;
    const chain = this.#start(uses);
    this.#chains.set(key, chain);
    return chain;
  }

  async #start(uses: readonly PluginUse[]): Promise<Chain> {
    const deps = this.#deps;
    const definitions = uses.map((use) => ({ use, definition: transformOf(deps, this.#tenantId, use) }));
    const chain = new Chain({ deps, tenantId: this.#tenantId, uses: definitions });
    chain.start();
    try {
      await untilReady(chain, deps);
      return chain;
    } catch (error) {
      await chain.close(CLOSE_MS);
      throw error;
    }
  }
}
