import type { Job, JobLaneSight, JobProgress, JobWait } from "./jobs.ts";
import { laneKey, type LaneState } from "./log.ts";

interface Seen {
  /** Of the job's lanes, in their order. */
  readonly states: readonly (LaneState | undefined)[];
  /** By this process's workers; what other processes have seen stays. */
  readonly sights: readonly JobLaneSight[];
  readonly now: number;
}

/** The job with what its lanes wait for by now; the same one when that is as it was. */
export function withWaits(job: Job, { states, sights, now }: Seen): Job {
  const seen = new Map(sights.map(({ lane, waitsFor }) => [laneKey(lane), { waitsFor }]));
  const before = job.waits ?? {};
  const waits: Record<string, JobWait> = {};
  let isChanged = false;
  for (const [i, { lane, to }] of job.lanes.entries()) {
    const key = laneKey(lane);
    const known = before[key];
    const isThrough = (states[i]?.cursor ?? 0) >= to;
    const wait = isThrough ? undefined : waitOf(known, seen.get(key), now);
    if (wait !== undefined) waits[key] = wait;
    isChanged ||= wait !== known;
  }
  if (!isChanged) return job;
  return { ...job, waits: Object.keys(waits).length === 0 ? undefined : waits };
}

/** What it says may change from try to try: only another stage is news. */
function waitOf(
  known: JobWait | undefined,
  sight: Pick<JobLaneSight, "waitsFor"> | undefined,
  now: number,
): JobWait | undefined {
  if (sight === undefined) return known;
  const { waitsFor } = sight;
  return known !== undefined && known.stage === waitsFor?.stage ? known : waitsFor && { ...waitsFor, since: now };
}

/** For progress: the lanes that wait for the same, put together; in the order of the job's lanes. */
export function waitingOf({ lanes, waits = {}, state }: Job): JobProgress["waiting"] {
  const groups = new Map<string, JobProgress["waiting"][number]>();
  for (const { lane } of state === "running" ? lanes : []) {
    const wait = waits[laneKey(lane)];
    if (wait === undefined) continue;
    const key = `${lane.sink}/${wait.stage}`;
    const { lanes: others = 0, since = wait.since } = groups.get(key) ?? {};
    groups.set(key, { ...wait, sink: lane.sink, lanes: others + 1, since: Math.min(since, wait.since) });
  }
  return [...groups.values()];
}
