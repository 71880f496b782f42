import { waitingOf } from "./job-waits.ts";
import { FAILED_AGAIN, type Job, type JobCounts, type JobProgress, NOT_SELECTED } from "./jobs.ts";
import type { LaneId, LaneState } from "./log.ts";

export function isEnded({ state }: Pick<Job, "state">): boolean {
  return state === "done" || state === "failed" || state === "cancelled";
}

/** A job's lane beside a live lane, or to the dead letters of another job's lane. */
export function jobLaneId(job: string, { stream, sink, job: other }: LaneId): LaneId {
  return { stream, sink, job: other === undefined ? job : `${job}~${other}` };
}

/** What lanes of a job have settled, put together. */
export function countsOf(states: readonly LaneState[]): JobCounts {
  const sum = { delivered: 0, filtered: 0, failed: 0, erased: 0, notSelected: 0 };
  for (const { delivered, filtered, dead, erased } of states) {
    sum.delivered += delivered;
    sum.erased += erased;
    sum.failed += dead;
    for (const [reason, events] of Object.entries(filtered)) {
      if (reason === NOT_SELECTED) sum.notSelected += events;
      else if (reason === FAILED_AGAIN) sum.failed += events;
      else sum.filtered += events;
    }
  }
  return sum;
}

export function settledOf({ delivered, filtered, failed, erased }: JobCounts): number {
  return delivered + filtered + failed + erased;
}

/** How far a job is, from the states of its lanes, in their order. */
export function progressOf(job: Job, states: readonly (LaneState | undefined)[], now: number): JobProgress {
  // A lane may have settled its last deliveries after the job was cancelled; later it is forgotten.
  const isKept = states.every((state) => state !== undefined);
  const counts = (isKept ? undefined : job.outcome) ?? countsOf(states.flatMap((state) => state ?? []));
  const settled = settledOf(counts);
  const all = job.lanes.reduce((sum, { from, to }) => sum + to - from, 0);
  const passed = job.lanes.reduce((sum, { from }, i) => sum + (states[i]?.cursor ?? from) - from, 0);
  const share = job.state === "done" || all === 0 ? Number(job.state === "done") : passed / all;
  const waiting = waitingOf(job);
  const progress = { ...counts, settled, share, waiting };
  if (job.state === "planned") return { ...progress, etaMs: job.estimateMs };
  if (job.state !== "running" || job.resumed === undefined || now <= job.resumed.at) return progress;
  const elapsedMs = now - job.resumed.at;
  const eventsPerSecond = ((settled - job.resumed.settled) * 1_000) / elapsedMs;
  const gained = share - job.resumed.share;
  // Nobody knows when a sink will be back.
  return gained <= 0 || waiting.length > 0
    ? { ...progress, eventsPerSecond }
    : { ...progress, eventsPerSecond, etaMs: ((1 - share) * elapsedMs) / gained };
}
