import type { QuotaPolicy, QuotaRefusal, TenantQuota } from "../../core/qps/quota.ts";
import type { Exchange } from "./exchange.ts";

/**
 * Lets a request in by its tenant's quota, from its head alone; false when it was refused with 429.
 * What is in flight is given back when the exchange is over, however it ends.
 */
export function enterQuota(exchange: Exchange, quota: TenantQuota, declaredBytes: number): boolean {
  const refusal = quota.enter(declaredBytes);
  exchange.quota = quota;
  if (refusal !== undefined) {
    exchange.refuse("quota_exceeded", detailOf(refusal), {
      retryAfterMs: refusal.retryAfterMs,
      violatedPolicies: refusal.policies,
    });
    return false;
  }
  exchange.response.once("close", () => quota.leave());
  return true;
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
