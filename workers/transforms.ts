import type { PluginUse } from "../core/ingestion/revision.ts";
import type { Route } from "../core/router/route.ts";
import type { TransformDefinition, TransformPlugin } from "../plugins/contract.ts";
import type { Stages } from "./chain.ts";
import type { LaneError, PluginDeps } from "./deps.ts";
import { PluginHost } from "./host.ts";

/** A transform has no retry policy of its own to take a deadline for `init` from. */
const INIT_TIMEOUT_MS = 30_000;
const POLL_MS = 20;

interface Waiter {
  resume(): void;
}

/** A list of transforms in this worker, an instance for each place: a tenant's, shared by its lanes, or a sink's own. */
export class Chain {
  readonly transforms: readonly PluginHost<TransformPlugin>[];
  #waiting = new Set<Waiter>();

  constructor(options: {
    readonly deps: PluginDeps;
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
    return this.transforms.every((host) => host.isUp);
  }

  #onReady(): void {
    if (!this.#allUp()) return;
    const waiting = this.#waiting;
    this.#waiting = new Set();
    for (const lane of waiting) lane.resume();
  }
}

/** Rejects when a transform does not start. Looks again from time to time, since a start that fails wakes nobody. */
export async function untilReady(chain: Chain, { timers }: Pick<PluginDeps, "timers">): Promise<void> {
  for (;;) {
    if (chain.lastError !== undefined) throw new Error(chain.lastError.message);
    const { promise, resolve } = Promise.withResolvers<void>();
    if (chain.ready({ resume: resolve })) return;
    const timer = timers.after(POLL_MS, resolve);
    await promise;
    timer.cancel();
  }
}

/** What a lane's events go through before its sink. */
export class LaneChain implements Stages {
  readonly route: Route | undefined;
  readonly #shared: Chain;
  readonly #branch: Chain | undefined;

  constructor(options: {
    readonly shared: Chain;
    readonly route: Route | undefined;
    readonly branch: Chain | undefined;
  }) {
    this.route = options.route;
    this.#shared = options.shared;
    this.#branch = options.branch;
  }

  get shared(): Chain["transforms"] {
    return this.#shared.transforms;
  }

  get branch(): Chain["transforms"] {
    return this.#branch?.transforms ?? [];
  }

  /** Nothing is between the log and the sink. */
  get isEmpty(): boolean {
    return this.route === undefined && this.shared.length === 0 && this.branch.length === 0;
  }

  get lastError(): LaneError | undefined {
    return this.#shared.lastError ?? this.#branch?.lastError;
  }

  /** Whether every transform is up; if not, the lane is resumed when that may have changed. */
  ready(lane: Waiter): boolean {
    return this.#shared.ready(lane) && this.#branch?.ready(lane) !== false;
  }

  leave(lane: Waiter): void {
    this.#shared.leave(lane);
    this.#branch?.leave(lane);
  }
}
