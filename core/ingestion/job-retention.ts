import { isEnded } from "./job-counts.ts";
import type { Job } from "./jobs.ts";

const DAY_MS = 86_400_000;
/** What was planned and not started by then can't be any more: what it counted may be gone from the log. */
export const PLAN_MS = DAY_MS;
/** A job is shown so long after its end, or a plan's; what it did stays in its lanes, in fates and in the audit stream. */
const KEPT_MS = 30 * DAY_MS;
/** So many of a tenant are shown; then those that ended first give way. */
export const KEPT_MAX = 1_000;

/** Whether it is a plan that is too old to be started. */
export function isStale({ state, createdAt }: Pick<Job, "state" | "createdAt">, now: number): boolean {
  return state === "planned" && now - createdAt > PLAN_MS;
}

/** When a job that has ended, or a plan that nobody starts, is forgotten at the latest; undefined while it is under way. */
export function expiryOf(job: Pick<Job, "state" | "createdAt" | "endedAt">): number | undefined {
  if (job.state === "planned") return job.createdAt + PLAN_MS + KEPT_MS;
  return isEnded(job) ? (job.endedAt ?? job.createdAt) + KEPT_MS : undefined;
}

/** Those to forget now: their time is over, or their tenant has too many that are over. */
export function expired<T extends Pick<Job, "state" | "createdAt" | "endedAt" | "spec">>(
  jobs: readonly T[],
  now: number,
): T[] {
  const over = jobs.filter((job) => isEnded(job) || isStale(job, now));
  const latestFirst = over.toSorted((a, b) => (expiryOf(b) ?? 0) - (expiryOf(a) ?? 0));
  const byTenant = Map.groupBy(latestFirst, ({ spec }) => spec.tenantId);
  const tooMany = new Set([...byTenant.values()].flatMap((own) => own.slice(KEPT_MAX)));
  return over.filter((job) => tooMany.has(job) || (expiryOf(job) ?? now) < now);
}
