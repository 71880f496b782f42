import type { Clock } from "../environment.ts";
import type { QuotaConfig } from "../ingestion/revision.ts";
import type { Rate } from "./shared-tokens.ts";
import { TokenBucket } from "./token-bucket.ts";
import type { Tokens } from "./token-bucket.ts";

/** A limit that a tenant can run into: its name on every wire. */
export type QuotaPolicy = "events" | "bytes" | "requests" | "backlog";

/** A refusal: which policies said no (the same list each time for the same ones), and when to come again, in milliseconds. */
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

const NAMES = ["events", "bytes", "requests", "backlog"] as const satisfies readonly QuotaPolicy[];
/** Every set of policies, at the number whose bits say which: a refusal makes no list. */
const POLICIES: ReadonlyArray<readonly QuotaPolicy[]> = Array.from({ length: 2 ** NAMES.length }, (_, bits) => {
  return NAMES.filter((_name, at) => (bits & (1 << at)) !== 0);
});

/** Where the tokens of one tenant come from when several processes share its quota. */
export interface QuotaShare {
  tokens(policy: "events" | "bytes", rate: Rate): Tokens;
  /** How many processes share it, as far as is known. */
  readonly processes: number;
}

/** One tenant's quotas at the door: of this process alone, or its part of them. Monotonic times come from the clock. */
export class TenantQuota {
  readonly #clock: Clock;
  readonly #config: QuotaConfig;
  readonly #share: QuotaShare | undefined;
  readonly #events: Tokens | undefined;
  readonly #bytes: Tokens | undefined;
  #requests = 0;
  #entered = 0;
  #isBehind = false;

  constructor(config: QuotaConfig, clock: Clock, share?: QuotaShare) {
    const now = clock.monotonic();
    const tokens = (policy: "events" | "bytes", rate: Rate): Tokens =>
      share?.tokens(policy, rate) ?? new TokenBucket({ ...rate, now });
    this.#clock = clock;
    this.#config = config;
    this.#share = share;
    this.#events = config.events && tokens("events", config.events);
    this.#bytes = config.bytes && tokens("bytes", config.bytes);
  }

  /** Levels and requests under way of the quota that this one takes the place of. */
  continueFrom(before: TenantQuota): this {
    const now = this.#clock.monotonic();
    continueTokens(before.#events, this.#events, now);
    continueTokens(before.#bytes, this.#bytes, now);
    this.#isBehind = before.#isBehind;
    this.#entered = before.#entered;
    return this;
  }

  /** Whether the tenant's slowest lane that counts is further behind than `backlog` allows; told from outside. */
  get isBehind(): boolean {
    return this.#isBehind;
  }

  set isBehind(isBehind: boolean) {
    this.#isBehind = isBehind;
  }

  /** Requests let in so far, once none of them is under way any more; undefined before. */
  get enteredAtRest(): number | undefined {
    return this.#requests === 0 ? this.#entered : undefined;
  }

  /** Refuses, or lets one request in, which must `leave`. Bytes known beforehand are charged at once. */
  enter(bytes: number): QuotaRefusal | undefined {
    const now = this.#clock.monotonic();
    const refusal = this.#refusal(now);
    if (refusal !== undefined) return refusal;
    this.#requests += 1;
    this.#entered += 1;
    this.#events?.charge(now, 1);
    if (bytes > 0) this.#bytes?.charge(now, bytes);
    return undefined;
  }

  #refusal(now: number): QuotaRefusal | undefined {
    const eventsMs = this.#events?.waitMs(now) ?? 0;
    const bytesMs = this.#bytes?.waitMs(now) ?? 0;
    const isCrowded = this.#requests >= (this.#requestsMax ?? Number.POSITIVE_INFINITY);
    if (eventsMs === 0 && bytesMs === 0 && !isCrowded && !this.#isBehind) return undefined;
    const policies = POLICIES[
      (eventsMs > 0 ? 1 : 0) + (bytesMs > 0 ? 2 : 0) + (isCrowded ? 4 : 0) + (this.#isBehind ? 8 : 0)
    ] as readonly QuotaPolicy[];
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

  /** Of this process: an equal share. */
  get #requestsMax(): number | undefined {
    const { requestsInFlight } = this.#config;
    return requestsInFlight && Math.ceil(requestsInFlight / (this.#share?.processes ?? 1));
  }

  states(): QuotaState[] {
    const now = this.#clock.monotonic();
    const states: QuotaState[] = [];
    const { events, bytes } = this.#config;
    const requestsInFlight = this.#requestsMax;
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

/** Shared ones go on by themselves. */
function continueTokens(before: Tokens | undefined, next: Tokens | undefined, now: number): void {
  if (before instanceof TokenBucket && next instanceof TokenBucket) next.continueFrom(before, now);
}

function rate(policy: QuotaPolicy, quota: number, remaining: number): QuotaState {
  return { policy, quota, windowSeconds: 1, remaining };
}
