import type { JobLaneOrder, JobOrder } from "../core/ingestion/jobs.ts";
import { type LaneState, type LetterId, laneKey } from "../core/ingestion/log.ts";
import type { Revision, SinkUse, TenantConfig } from "../core/ingestion/revision.ts";
import type { LanePlan } from "../core/router/lanes.ts";
import type { WorkerDeps } from "./deps.ts";
import type { JobSource, JobSourceOptions } from "./job-source.ts";
import type { LaneOptions } from "./lane-options.ts";
import type { LaneRole, StoredLane } from "./lane-role.ts";
import { RedriveSource } from "./redrive-source.ts";
import { ReplaySource } from "./replay-source.ts";
import type { Target } from "./target.ts";

/** A round of a job is short, so that a live event never waits long for its turn of the event loop. */
const BATCH_EVENTS_MAX = 100;
const WINDOW_BATCHES = 2;

interface Ordered {
  readonly order: JobOrder;
  readonly laneOrder: JobLaneOrder;
}

/** Lanes of the jobs that run, through the running revision's transforms, routes and sinks. */
export class JobRole implements LaneRole {
  readonly followsArrivals = false;
  readonly #deps: WorkerDeps;
  readonly #liveTarget: (tenantId: string, sink: string) => Target | undefined;
  readonly #sources = new Map<string, JobSource>();
  #orders = new Map<string, Ordered>();

  constructor(deps: WorkerDeps, liveTarget: (tenantId: string, sink: string) => Target | undefined) {
    this.#deps = deps;
    this.#liveTarget = liveTarget;
  }

  /** Takes other rates and bounds at once; lanes that come or go do so when the set is matched. */
  set orders(orders: readonly JobOrder[]) {
    this.#orders = new Map(
      orders.flatMap((order) =>
        order.lanes.map((laneOrder) => [laneKey(laneOrder.lane), { order, laneOrder }] as const),
      ),
    );
    for (const [key, source] of this.#sources) {
      const ordered = this.#orders.get(key);
      if (ordered === undefined) this.#sources.delete(key);
      else source.update(ordered.laneOrder);
    }
  }

  async known(): Promise<readonly StoredLane[]> {
    const lanes = [...this.#orders.values()].map(({ laneOrder }) => laneOrder.lane);
    const states = await Promise.all(lanes.map((lane) => this.#deps.log.loadLane(lane)));
    return lanes.flatMap((lane, i) => {
      const state = states[i];
      return state === undefined ? [] : { lane, state };
    });
  }

  plans(revision: Revision): Map<string, LanePlan> {
    const plans = new Map<string, LanePlan>();
    for (const [key, { order, laneOrder }] of this.#orders) {
      const { lane } = laneOrder;
      const tenant = revision.tenants.find(({ id }) => id === order.tenantId);
      const sink = tenant?.sinks.find(({ id }) => id === lane.sink);
      if (tenant !== undefined && sink !== undefined) plans.set(key, { lane, tenant, sink });
    }
    return plans;
  }

  start({ lane }: LanePlan): number {
    return this.#ordered(lane).laneOrder.from;
  }

  parts({ lane, sink }: LanePlan, state: LaneState): Pick<LaneOptions, "source" | "job" | "use"> {
    const key = laneKey(lane);
    const { order, laneOrder } = this.#ordered(lane);
    const source = sourceOf({ deps: this.#deps, order, laneOrder, state });
    this.#sources.set(key, source);
    const idleShare = () => this.#orders.get(key)?.order.idleShare ?? 1;
    return { source, job: { id: order.id, idleShare }, use: ofJob(sink) };
  }

  kin({ tenant, sink }: { readonly tenant: TenantConfig; readonly sink: SinkUse }): Target | undefined {
    return this.#liveTarget(tenant.id, sink.id);
  }

  #ordered(lane: LanePlan["lane"]): Ordered {
    return this.#orders.get(laneKey(lane)) as Ordered;
  }
}

/** The events of a job's lane. */
export function sourceOf(options: JobSourceOptions): JobSource {
  const { of } = options.laneOrder;
  if (of === undefined) return new ReplaySource(options);
  return new RedriveSource({ ...options, of, ids: idsOf(options.order, of) });
}

function idsOf({ selection }: JobOrder, of: LetterId["lane"]): ReadonlySet<number> | undefined {
  if (selection.letters === undefined) return undefined;
  const key = laneKey(of);
  return new Set(selection.letters.filter(({ lane }) => laneKey(lane) === key).map(({ sequence }) => sequence));
}

function ofJob(sink: SinkUse): SinkUse {
  const eventsMax = Math.min(sink.batch.eventsMax, BATCH_EVENTS_MAX);
  const windowEvents = Math.min(sink.windowEvents, eventsMax * WINDOW_BATCHES);
  return { ...sink, batch: { ...sink.batch, eventsMax, lingerMs: 0 }, windowEvents };
}
