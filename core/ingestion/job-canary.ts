import { countsOf, settledOf } from "./job-counts.ts";
import type { Job } from "./jobs.ts";
import type { LaneState } from "./log.ts";

type CanaryStep =
  | { readonly type: "running" | "passed"; readonly job: Job }
  | { readonly type: "failed"; readonly job: Job; readonly reason: string };

/**
 * Looks at how the first letters of a redrive fared. Undefined when the job has no canary, or has passed it.
 * `isThrough`: there are no more letters.
 */
export function canaryStep(
  job: Job,
  states: readonly (LaneState | undefined)[],
  isThrough: boolean,
): CanaryStep | undefined {
  const { canary } = job.spec;
  if (canary === undefined || job.canary?.state !== "running") return undefined;
  const counts = countsOf(states.flatMap((state) => state ?? []));
  const tried = settledOf(counts);
  const succeeded = counts.delivered + counts.filtered;
  const now = { tried, succeeded };
  if (tried < canary.events && !isThrough) {
    if (tried === job.canary.tried) return undefined;
    return { type: "running", job: { ...job, canary: { state: "running", ...now } } };
  }
  if (tried === 0 || succeeded / tried >= canary.share)
    return { type: "passed", job: { ...job, canary: { state: "passed", ...now } } };
  const percent = Math.round(canary.share * 1_000) / 10;
  const reason = `the canary failed: ${succeeded} of ${tried} letters succeeded, at least ${percent} % were asked for`;
  return { type: "failed", job: { ...job, canary: { state: "failed", ...now } }, reason };
}

/** How many letters each lane may take in all while the canary runs: one lane after the other. */
export function canaryQuotas(job: Job, states: readonly (LaneState | undefined)[]): readonly number[] | undefined {
  const { canary } = job.spec;
  if (canary === undefined || job.canary?.state !== "running") return undefined;
  const settled = states.map((state) => (state === undefined ? 0 : settledOf(countsOf([state]))));
  let left = canary.events - settled.reduce((sum, events) => sum + events, 0);
  let isTaken = false;
  return job.lanes.map(({ to }, i) => {
    const own = settled[i] ?? 0;
    const isThrough = (states[i]?.cursor ?? 0) >= to;
    if (isThrough || isTaken) return own;
    isTaken = true;
    const quota = own + Math.max(0, left);
    left = 0;
    return quota;
  });
}
