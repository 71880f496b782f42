import { type Claim, laneKey, type LaneState, type StreamKey, slotOf, streamKey } from "../core/ingestion/log.ts";
import type { PluginUse, Revision, SinkUse, TenantConfig } from "../core/ingestion/revision.ts";
import type { LanePlan } from "../core/router/lanes.ts";
import { compileRoute } from "../core/router/route.ts";
import { sinkOf, transformOf } from "./definitions.ts";
import type { WorkerDeps } from "./deps.ts";
import { LaneRunner } from "./lane.ts";
import type { LaneRole, StoredLane } from "./lane-role.ts";
import { Target } from "./target.ts";
import { Chain, LaneChain } from "./transforms.ts";

/** Lanes created at the same time; each is a write of the store. */
const OPENINGS_MAX = 64;
/** A changed or removed lane's delivery under way may take so long before it is cancelled. */
const DRAIN_MS = 5_000;
const PLUGIN_CLOSE_MS = 5_000;

interface Shared<T> {
  readonly signature: string;
  readonly part: T;
}

/** The running lanes of a worker, with the chains and targets that they share. */
export class LaneSet {
  readonly #deps: WorkerDeps;
  readonly #role: LaneRole;
  readonly #onFenced: (lane: LaneRunner) => void;
  readonly #lanes = new Map<string, { readonly signature: string; readonly runner: LaneRunner }>();
  readonly #byStream = new Map<StreamKey, Set<LaneRunner>>();
  readonly #chains = new Map<string, Shared<Chain>>();
  readonly #targets = new Map<string, Shared<Target>>();

  constructor(options: {
    readonly deps: WorkerDeps;
    readonly role: LaneRole;
    readonly onFenced: (lane: LaneRunner) => void;
  }) {
    this.#deps = options.deps;
    this.#role = options.role;
    this.#onFenced = options.onFenced;
  }

  /** The running target of a sink. */
  target(tenantId: string, sink: string): Target | undefined {
    return this.#targets.get(`${tenantId}/${sink}`)?.part;
  }

  all(): LaneRunner[] {
    return [...this.#lanes.values()].map(({ runner }) => runner);
  }

  wake(stream: StreamKey): void {
    for (const runner of this.#byStream.get(stream) ?? []) runner.wake();
  }

  wakeAll(): void {
    for (const runner of this.all()) runner.wake();
  }

  /** Cuts off what is under way, and tells whose it was. */
  abort(): LaneRunner[] {
    const cut = this.all().filter(({ view }) => view.isOut);
    for (const runner of this.all()) runner.abort();
    return cut;
  }

  /** Throws if the revision names a plugin that is not there, or of the wrong kind, or has a condition that is none. */
  check(revision: Revision): void {
    for (const tenant of revision.tenants) {
      for (const use of tenant.transforms) transformOf(this.#deps, tenant.id, use);
      for (const use of tenant.sinks) {
        sinkOf(this.#deps, tenant.id, use);
        for (const own of use.transforms ?? []) transformOf(this.#deps, tenant.id, own);
        compileRoute(tenant.sinks, use.id);
      }
    }
  }

  /** Ends lanes whose claim is not among those held: their new owner may deliver already. */
  lose(held: ReadonlyMap<number, Claim>): void {
    for (const runner of this.all()) {
      if (held.get(runner.claim.slot)?.epoch !== runner.claim.epoch) runner.lose();
    }
  }

  /**
   * Makes the running lanes those of the revision in the slots held, without those that an operator has
   * paused (lane keys). Safe to repeat after a failure of the store.
   */
  async match(
    revision: Revision,
    held: ReadonlyMap<number, Claim>,
    paused: ReadonlySet<string> = new Set(),
  ): Promise<void> {
    const known = await this.#role.known();
    const plans = this.#role.plans(revision, known);
    for (const [key, plan] of plans) {
      if (!held.has(slotOf(plan.lane.stream)) || paused.has(key)) plans.delete(key);
    }
    const stopped = await this.#stopOthers(plans, held);
    await this.#closeUnused(plans);
    // Lanes that were just drained have moved since.
    const states = await this.#openStates(plans, stopped === 0 ? known : await this.#role.known());
    for (const { runner } of this.#lanes.values()) runner.revision = revision.number;
    for (const [key, plan] of plans) this.#startLane({ key, plan, state: states.get(key), held, revision });
  }

  /** Drains all lanes, then closes all plugins; `leftMs` tells how long that may take. */
  async close(leftMs: () => number): Promise<void> {
    await Promise.all(this.all().map((runner) => runner.stop()));
    this.#lanes.clear();
    this.#byStream.clear();
    await this.#closeUnused(new Map(), leftMs());
  }

  async #stopOthers(plans: ReadonlyMap<string, LanePlan>, held: ReadonlyMap<number, Claim>): Promise<number> {
    const stops: Promise<void>[] = [];
    for (const [key, { signature, runner }] of this.#lanes) {
      const plan = plans.get(key);
      const isOurs = held.get(runner.claim.slot)?.epoch === runner.claim.epoch;
      if (plan !== undefined && isOurs && !runner.lost && signatureOf(plan) === signature) continue;
      stops.push(this.#drain(key, runner));
    }
    await Promise.all(stops);
    return stops.length;
  }

  async #drain(key: string, runner: LaneRunner): Promise<void> {
    const deadline = this.#deps.timers.after(DRAIN_MS, () => runner.abort());
    await runner.stop();
    deadline.cancel();
    this.#lanes.delete(key);
    this.#byStream.get(streamKey(runner.lane.stream))?.delete(runner);
  }

  /** Plugins are closed only when the lanes that used them have ended. */
  async #closeUnused(plans: ReadonlyMap<string, LanePlan>, timeoutMs = PLUGIN_CLOSE_MS): Promise<void> {
    const chains = new Map<string, string>();
    const targets = new Map<string, string>();
    for (const { tenant, sink } of plans.values()) {
      chains.set(tenant.id, chainSignature(tenant.transforms));
      chains.set(targetKey(tenant, sink), chainSignature(sink.transforms ?? []));
      targets.set(targetKey(tenant, sink), targetSignature(sink));
    }
    await Promise.all([closeStale(this.#chains, chains, timeoutMs), closeStale(this.#targets, targets, timeoutMs)]);
  }

  /** The stored state of every lane; planned ones that are new are created. */
  async #openStates(
    plans: ReadonlyMap<string, LanePlan>,
    known: readonly StoredLane[],
  ): Promise<Map<string, LaneState>> {
    const states = new Map(known.map(({ lane, state }) => [laneKey(lane), state]));
    const missing = [...plans].filter(([key]) => !states.has(key));
    for (let at = 0; at < missing.length; at += OPENINGS_MAX) {
      await Promise.all(
        missing.slice(at, at + OPENINGS_MAX).map(async ([key, plan]) => {
          states.set(key, await this.#deps.log.openLane(plan.lane, this.#role.start(plan, known)));
        }),
      );
    }
    return states;
  }

  #startLane(options: {
    readonly key: string;
    readonly plan: LanePlan;
    readonly state: LaneState | undefined;
    readonly held: ReadonlyMap<number, Claim>;
    readonly revision: Revision;
  }): void {
    const { key, plan, state, held, revision } = options;
    const claim = held.get(slotOf(plan.lane.stream));
    if (this.#lanes.has(key) || state === undefined || claim === undefined) return;
    const runner: LaneRunner = new LaneRunner({
      deps: this.#deps,
      lane: plan.lane,
      claim,
      state,
      weight: plan.tenant.weight,
      ...this.#role.parts(plan, state),
      chain: this.#laneChain(plan),
      target: this.#target(plan),
      revision: revision.number,
      onFenced: () => this.#onFenced(runner),
    });
    this.#lanes.set(key, { signature: signatureOf(plan), runner });
    if (!this.#role.followsArrivals) return runner.wake();
    const stream = streamKey(plan.lane.stream);
    const others = this.#byStream.get(stream);
    if (others === undefined) this.#byStream.set(stream, new Set([runner]));
    else others.add(runner);
    runner.wake();
  }

  #laneChain({ tenant, sink }: LanePlan): LaneChain {
    const own = sink.transforms ?? [];
    return new LaneChain({
      shared: this.#chain(tenant, tenant.id, tenant.transforms),
      route: compileRoute(tenant.sinks, sink.id),
      branch: own.length === 0 ? undefined : this.#chain(tenant, targetKey(tenant, sink), own),
    });
  }

  /** The chain of this key; tenants' keys hold no slash, sinks' do. */
  #chain(tenant: TenantConfig, key: string, transforms: readonly PluginUse[]): Chain {
    const running = this.#chains.get(key);
    if (running !== undefined) return running.part;
    // One plugin with the same options in two chains remembers its crashes twice.
    const { flights } = this.#deps;
    const deps = { ...this.#deps, flights: flights && ((use: string) => flights(`${key} ${use}`)) };
    const uses = transforms.map((use) => ({ use, definition: transformOf(deps, tenant.id, use) }));
    const part = new Chain({ deps: this.#deps, tenantId: tenant.id, uses });
    this.#chains.set(key, { signature: chainSignature(transforms), part });
    part.start();
    return part;
  }

  #target(plan: LanePlan): Target {
    const { tenant, sink: use } = plan;
    const key = targetKey(tenant, use);
    const running = this.#targets.get(key);
    if (running !== undefined) return running.part;
    const kin = () => this.#role.kin(plan);
    const part = new Target({
      deps: this.#deps,
      tenantId: tenant.id,
      use,
      definition: sinkOf(this.#deps, tenant.id, use),
      kin,
    });
    this.#targets.set(key, { signature: targetSignature(use), part });
    void part.host.start();
    return part;
  }
}

function signatureOf({ lane, tenant, sink }: LanePlan): string {
  const route = sink.route?.fallback === true ? JSON.stringify(tenant.sinks.map(({ id, route }) => [id, route])) : "";
  return `${laneKey(lane)} ${tenant.weight} ${chainSignature(tenant.transforms)} ${targetSignature(sink)} ${route}`;
}

function chainSignature(transforms: readonly PluginUse[]): string {
  return JSON.stringify(transforms);
}

function targetSignature(sink: SinkUse): string {
  return JSON.stringify(sink);
}

function targetKey(tenant: TenantConfig, sink: SinkUse): string {
  return `${tenant.id}/${sink.id}`;
}

async function closeStale(
  running: Map<string, Shared<{ close(timeoutMs: number): Promise<void> }>>,
  wanted: ReadonlyMap<string, string>,
  timeoutMs: number,
): Promise<void> {
  const closing: Promise<void>[] = [];
  for (const [key, { signature, part }] of running) {
    if (wanted.get(key) === signature) continue;
    running.delete(key);
    closing.push(part.close(timeoutMs));
  }
  await Promise.all(closing);
}
