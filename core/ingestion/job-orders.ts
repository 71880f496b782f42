import { canaryQuotas } from "./job-canary.ts";
import type { Job, JobOrder } from "./jobs.ts";
import type { LaneState } from "./log.ts";

/** What the workers are to run of a job: its unfinished lanes, which share its rate. */
export function ordersOf(job: Job, states: readonly (LaneState | undefined)[]): JobOrder {
  const { rate, selection, tenantId } = job.spec;
  const quotas = canaryQuotas(job, states);
  const open = job.lanes
    .map((lane, i) => ({ lane, cursor: states[i]?.cursor ?? lane.from, eventsMax: quotas?.[i] }))
    .filter(({ lane, cursor }) => cursor < lane.to);
  const eventsPerSecond = "eventsPerSecond" in rate ? rate.eventsPerSecond / Math.max(1, open.length) : undefined;
  return {
    ...{ id: job.id, tenantId, selection },
    lanes: open.map(({ lane, eventsMax }) => ({ ...lane, eventsPerSecond, eventsMax })),
    idleShare: "idleShare" in rate ? rate.idleShare : 1,
  };
}
