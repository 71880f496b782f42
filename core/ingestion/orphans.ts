import { PulseGateError } from "../canonical/errors.ts";
import { dropHold } from "./lane-holds.ts";
import { laneKey } from "./log.ts";
import type { ControlStore, LaneId, LaneState, LaneStore } from "./log.ts";
import type { TenantConfig } from "./revision.ts";

/**
 * Whether a lane's sink, or its whole tenant, is no longer in the configuration. Such a lane delivers
 * nothing and still keeps its events: it goes on if the sink comes back, and ends only when it is dropped.
 */
export function isOrphan({ stream, sink }: LaneId, tenants: readonly TenantConfig[]): boolean {
  let sinks = SINKS.get(tenants);
  if (sinks === undefined) {
    sinks = new Map(tenants.map((tenant) => [tenant.id, new Set(tenant.sinks.map(({ id }) => id))]));
    SINKS.set(tenants, sinks);
  }
  return sinks.get(stream.tenantId)?.has(sink) !== true;
}

/** By the list of tenants: all lanes are asked about at each scrape, and there may be as many tenants. */
const SINKS = new WeakMap<readonly TenantConfig[], ReadonlyMap<string, ReadonlySet<string>>>();

export interface DropOptions {
  readonly lanes: Pick<LaneStore, "loadLane" | "dropLane">;
  readonly control: ControlStore;
  /** The running revision's. */
  readonly tenants: readonly TenantConfig[];
}

/**
 * Forgets an orphan: what it has not delivered will not be, its dead letters are gone, and so is that it was
 * paused. What it was when it went. Rejects with `not_found` for a lane that is not there, with `conflict` for one whose sink is in use.
 */
export async function dropOrphan(lane: LaneId, { lanes, control, tenants }: DropOptions): Promise<LaneState> {
  const state = await lanes.loadLane(lane);
  if (state === undefined) throw new PulseGateError("not_found", `there is no lane ${laneKey(lane)}`);
  if (!isOrphan(lane, tenants)) {
    const detail = `the lane ${laneKey(lane)} is in use: take its sink out of the configuration first`;
    throw new PulseGateError("conflict", detail);
  }
  // First: whoever dies in between still finds the lane, and drops it again.
  await dropHold(control, lane);
  await lanes.dropLane(lane);
  return state;
}
