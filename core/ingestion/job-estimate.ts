import { settledOf } from "./job-counts.ts";
import type { Job, JobCounts, JobSpec } from "./jobs.ts";

/** What ran for less says more of how it was started than of its speed. */
const MEASURED_MS_MIN = 1_000;

/**
 * How long a plan will take, in milliseconds: by its own rate, else as fast as the tenant's latest job of the same
 * kind was while it ran. Undefined when there was none that could be measured.
 */
export function estimateMsOf(
  { kind, tenantId, rate }: JobSpec,
  { events, before }: { readonly events: number; readonly before: readonly Job[] },
): number | undefined {
  if ("eventsPerSecond" in rate) return (events * 1_000) / rate.eventsPerSecond;
  const measured = before.filter(({ spec, eventsPerSecond = 0 }) => {
    return spec.tenantId === tenantId && spec.kind === kind && "idleShare" in spec.rate && eventsPerSecond > 0;
  });
  const [latest] = measured.toSorted((a, b) => (b.endedAt ?? 0) - (a.endedAt ?? 0));
  if (latest === undefined) return undefined;
  const { rate: then } = latest.spec;
  const share = "idleShare" in then ? rate.idleShare / then.idleShare : 1;
  return (events * 1_000) / ((latest.eventsPerSecond ?? 0) * share);
}

/** The speed at which a job went since it last began to run; undefined when that was too short a time to tell. */
export function speedOf({ resumed }: Job, counts: JobCounts, now: number): number | undefined {
  if (resumed === undefined || now - resumed.at < MEASURED_MS_MIN) return undefined;
  return ((settledOf(counts) - resumed.settled) * 1_000) / (now - resumed.at);
}
