import type { QuotaPolicy, QuotaRefusal, TenantQuota } from "../../core/qps/quota.ts";
import type { Exchange, ReadyRefusal } from "./exchange.ts";
import { retryAfterSeconds } from "./exchange.ts";
import { problemJson } from "./problem.ts";
import { rateLimitHeaders } from "./rate-limit.ts";

/**
 * Lets a request in by its tenant's quota, from its head alone; false when it was refused with 429.
 * What is in flight is given back when the exchange is over, however it ends.
 */
export function enterQuota(exchange: Exchange, quota: TenantQuota, declaredBytes: number): boolean {
  const refusal = quota.enter(declaredBytes);
  exchange.quota = quota;
  if (refusal !== undefined) {
    exchange.refuseInTurn(() => exchange.refuseReady(readyRefusal(quota, refusal, exchange.startedMs)));
    return false;
  }
  exchange.response.whenOver(() => quota.leave());
  return true;
}

interface Made {
  readonly refusal: QuotaRefusal;
  readonly atMs: number;
  readonly ready: ReadyRefusal;
}

/** So old the figures of `RateLimit` may be in an answer that is given again. */
const FRESH_MS = 100;
const MADE = new WeakMap<TenantQuota, Made>();

/** The last answer given to the tenant while it says the same: whoever is over a quota mostly sends a lot. */
function readyRefusal(quota: TenantQuota, refusal: QuotaRefusal, nowMs: number): ReadyRefusal {
  const last = MADE.get(quota);
  if (
    last !== undefined &&
    nowMs - last.atMs < FRESH_MS &&
    last.refusal.policies === refusal.policies &&
    retryAfterSeconds(last.refusal.retryAfterMs) === retryAfterSeconds(refusal.retryAfterMs)
  )
    return last.ready;
  const ready = makeRefusal(quota, refusal);
  MADE.set(quota, { refusal, atMs: nowMs, ready });
  return ready;
}

const TRACE_ID = "0".repeat(32);

function makeRefusal(quota: TenantQuota, refusal: QuotaRefusal): ReadyRefusal {
  const { policies, retryAfterMs } = refusal;
  const seconds = retryAfterSeconds(retryAfterMs);
  const body = problemJson({
    code: "quota_exceeded",
    detail: detailOf(refusal),
    traceId: TRACE_ID,
    violatedPolicies: policies,
  });
  const at = body.lastIndexOf(TRACE_ID);
  return {
    code: "quota_exceeded",
    reasons: policies,
    headers: [
      ...["Content-Type", "application/problem+json", "Retry-After", String(seconds)],
      ...["Content-Length", String(body.length)],
      ...rateLimitHeaders(quota, seconds),
    ],
    beforeTraceId: body.slice(0, at),
    afterTraceId: body.slice(at + TRACE_ID.length),
  };
}

const NAMES: Readonly<Record<QuotaPolicy, string>> = {
  events: "events per second",
  bytes: "bytes per second",
  requests: "requests at one time",
  backlog: "events waiting for delivery",
};

function detailOf({ policies }: QuotaRefusal): string {
  const names = policies.map((policy) => NAMES[policy]).join(" and ");
  return `the quota of ${names} is used up; nothing was stored: repeat it after Retry-After`;
}
