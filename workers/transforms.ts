import type { PluginUse } from "../core/ingestion/revision.ts";
import type { TransformDefinition, TransformPlugin } from "../plugins/contract.ts";
import type { LaneError, WorkerDeps } from "./deps.ts";
import { PluginHost } from "./host.ts";

/** A transform has no retry policy of its own to take a deadline for `init` from. */
const INIT_TIMEOUT_MS = 30_000;

interface Waiter {
  resume(): void;
}

/** The transform chain of one tenant in this worker: an instance for each place, shared by the tenant's lanes. */
export class Chain {
  readonly transforms: readonly PluginHost<TransformPlugin>[];
  #waiting = new Set<Waiter>();

  constructor(options: {
    readonly deps: WorkerDeps;
    readonly tenantId: string;
    readonly uses: readonly { readonly use: PluginUse; readonly definition: TransformDefinition }[];
  }) {
    const { deps, tenantId } = options;
    this.transforms = options.uses.map(
      ({ use, definition }) =>
        new PluginHost<TransformPlugin>({
          deps,
          definition,
          config: use.config,
          tenantId,
          timeoutMs: INIT_TIMEOUT_MS,
          isComplete: (plugin) => typeof plugin.process === "function",
          onReady: () => this.#onReady(),
        }),
    );
  }

  get lastError(): LaneError | undefined {
    return this.transforms.find((host) => host.lastError !== undefined)?.lastError;
  }

  /** Whether every transform is up; if not, the lane is resumed when it is. */
  ready(lane: Waiter): boolean {
    if (this.#allUp()) return true;
    this.#waiting.add(lane);
    return false;
  }

  start(): void {
    for (const host of this.transforms) void host.start();
  }

  leave(lane: Waiter): void {
    this.#waiting.delete(lane);
  }

  async close(timeoutMs: number): Promise<void> {
    await Promise.all(this.transforms.map((host) => host.close(timeoutMs)));
  }

  #allUp(): boolean {
    return this.transforms.every((host) => host.instance !== undefined);
  }

  #onReady(): void {
    if (!this.#allUp()) return;
    const waiting = this.#waiting;
    this.#waiting = new Set();
    for (const lane of waiting) lane.resume();
  }
}
