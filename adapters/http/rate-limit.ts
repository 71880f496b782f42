import type { QuotaPolicy, QuotaState, TenantQuota } from "../../core/qps/quota.ts";

/** Pairs of name and value: `RateLimit-Policy` and `RateLimit` of draft-ietf-httpapi-ratelimit-headers. */
export function rateLimitHeaders(quota: TenantQuota, retryAfterSeconds: number | undefined): string[] {
  const states = quota.states();
  if (states.length === 0) return [];
  const reset = (state: QuotaState) => {
    if (state.windowSeconds === undefined) return "";
    return `;t=${state.remaining === 0 ? (retryAfterSeconds ?? state.windowSeconds) : state.windowSeconds}`;
  };
  const policies = states.map(
    ({ policy, quota: limit, windowSeconds }) =>
      `"${policy}";q=${limit}${windowSeconds === undefined ? "" : `;w=${windowSeconds}`}${UNITS[policy]}`,
  );
  const limits = states.map((state) => `"${state.policy}";r=${state.remaining}${reset(state)}`);
  return ["RateLimit-Policy", policies.join(", "), "RateLimit", limits.join(", ")];
}

const UNITS: Readonly<Record<QuotaPolicy, string>> = {
  events: "",
  bytes: ';qu="content-bytes"',
  requests: ';qu="concurrent-requests"',
  backlog: "",
};
