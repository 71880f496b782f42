import type { Clock } from "../environment.ts";
import type { QuotaConfig } from "../ingestion/revision.ts";
import { TokenBucket } from "./token-bucket.ts";

/** A limit that a tenant can run into: its name on every wire. */
export type QuotaPolicy = "events" | "bytes" | "requests" | "backlog";

/** A refusal: which policies said no, and when to come again, in milliseconds. */
export interface QuotaRefusal {
  readonly policies: readonly QuotaPolicy[];
  readonly retryAfterMs: number;
}

/** What one policy allows now, for `RateLimit` headers. */
export interface QuotaState {
  readonly policy: QuotaPolicy;
  /** Tokens per window, or requests at one time. */
  readonly quota: number;
  /** Seconds; undefined when the quota is no rate. */
  readonly windowSeconds: number | undefined;
  readonly remaining: number;
}

/** Before one under way ends, asking again would be in vain; nobody knows when that is. */
const REQUESTS_RETRY_MS = 1000;
/** A backlog shrinks as its lanes deliver: it is looked at again about so often. */
const BACKLOG_RETRY_MS = 1000;

/** One tenant's quotas at the door. Monotonic times come from the clock. */
export class TenantQuota {
  readonly #clock: Clock;
  readonly #config: QuotaConfig;
  readonly #events: TokenBucket | undefined;
  readonly #bytes: TokenBucket | undefined;
  #requests = 0;
  #isBehind = false;

  constructor(config: QuotaConfig, clock: Clock) {
    const now = clock.monotonic();
    this.#clock = clock;
    this.#config = config;
    this.#events = config.events && new TokenBucket({ ...config.events, now });
    this.#bytes = config.bytes && new TokenBucket({ ...config.bytes, now });
  }

  /** Levels and requests under way of the quota that this one takes the place of. */
  continueFrom(before: TenantQuota): this {
    const now = this.#clock.monotonic();
    if (before.#events !== undefined) this.#events?.continueFrom(before.#events, now);
    if (before.#bytes !== undefined) this.#bytes?.continueFrom(before.#bytes, now);
    this.#isBehind = before.#isBehind;
    return this;
  }

  /** Whether the tenant's slowest lane that counts is further behind than `backlog` allows; told from outside. */
  get isBehind(): boolean {
    return this.#isBehind;
  }

  set isBehind(isBehind: boolean) {
    this.#isBehind = isBehind;
  }

  /** Refuses, or lets one request in, which must `leave`. Bytes known beforehand are charged at once. */
  enter(bytes: number): QuotaRefusal | undefined {
    const now = this.#clock.monotonic();
    const refusal = this.#refusal(now);
    if (refusal !== undefined) return refusal;
    this.#requests += 1;
    this.#events?.charge(now, 1);
    if (bytes > 0) this.#bytes?.charge(now, bytes);
    return undefined;
  }

  #refusal(now: number): QuotaRefusal | undefined {
    const eventsMs = this.#events?.waitMs(now) ?? 0;
    const bytesMs = this.#bytes?.waitMs(now) ?? 0;
    const isCrowded = this.#requests >= (this.#config.requestsInFlight ?? Number.POSITIVE_INFINITY);
    if (eventsMs === 0 && bytesMs === 0 && !isCrowded && !this.#isBehind) return undefined;
    const policies: QuotaPolicy[] = [];
    if (eventsMs > 0) policies.push("events");
    if (bytesMs > 0) policies.push("bytes");
    if (isCrowded) policies.push("requests");
    if (this.#isBehind) policies.push("backlog");
    const otherMs = Math.max(isCrowded ? REQUESTS_RETRY_MS : 0, this.#isBehind ? BACKLOG_RETRY_MS : 0);
    return { policies, retryAfterMs: Math.max(eventsMs, bytesMs, otherMs) };
  }

  /** What the request held beyond the one event and the bytes that it was charged for when it came in. */
  charge(extra: { readonly events: number; readonly bytes: number }): void {
    const now = this.#clock.monotonic();
    if (extra.events > 0) this.#events?.charge(now, extra.events);
    if (extra.bytes > 0) this.#bytes?.charge(now, extra.bytes);
  }

  /** The request is answered or gone. */
  leave(): void {
    this.#requests -= 1;
  }

  /** More events than the quota ever lets in at once; undefined without such a bound. */
  get eventsAtOnceMax(): number | undefined {
    return this.#config.events?.burst;
  }

  states(): QuotaState[] {
    const now = this.#clock.monotonic();
    const states: QuotaState[] = [];
    const { events, bytes, requestsInFlight } = this.#config;
    if (events !== undefined && this.#events !== undefined)
      states.push(rate("events", events.perSecond, this.#events.available(now)));
    if (bytes !== undefined && this.#bytes !== undefined)
      states.push(rate("bytes", bytes.perSecond, this.#bytes.available(now)));
    if (requestsInFlight !== undefined) {
      const remaining = Math.max(0, requestsInFlight - this.#requests);
      states.push({ policy: "requests", quota: requestsInFlight, windowSeconds: undefined, remaining });
    }
    return states;
  }
}

function rate(policy: QuotaPolicy, quota: number, remaining: number): QuotaState {
  return { policy, quota, windowSeconds: 1, remaining };
}
