import type { LaneId } from "../../core/ingestion/log.ts";

/** Of a lane as it is stored: no member that a caller may have added. */
export function plainLane(lane: LaneId): LaneId {
  const { stream, sink, job } = lane;
  const plain = { stream: { tenantId: stream.tenantId, partition: stream.partition }, sink };
  return job === undefined ? plain : { ...plain, job };
}

/** Keys of one tenant: "/" is followed by "0" in ASCII. */
export function tenantRange(tenantId: string | undefined): { start?: string; end?: string } {
  return tenantId === undefined ? {} : { start: `${tenantId}/`, end: `${tenantId}0` };
}
