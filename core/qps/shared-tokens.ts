import type { Tokens } from "./token-bucket.ts";
import { TokenBucket } from "./token-bucket.ts";

export interface Rate {
  /** Tokens that come back per second. */
  readonly perSecond: number;
  readonly burst: number;
}

/** What processes that share a bucket know of it together. */
export interface SharedLevel {
  /** Below 0: a debt. */
  readonly level: number;
  /** Milliseconds since the epoch. */
  readonly at: number;
  /** Process → when it last took part, in milliseconds since the epoch. */
  readonly users: Readonly<Record<string, number>>;
}

/** While a bucket is in use, each process tells so often what it took of it. */
export const ROUND_MS = 250;
/** After so long without use a process takes part no more. */
const IDLE_MS = 2_000;
/** Nothing heard for so long, though there was something to tell: each for itself. */
const STALE_MS = 1_000;

export interface Take {
  readonly instance: string;
  readonly rate: Rate;
  /** Tokens that this process has used since it last told. */
  readonly used: number;
  /** Milliseconds since the epoch. */
  readonly now: number;
}

/** The bucket after one process told what it used: what is due is charged, and may be a debt of all. */
export function settleLevel(known: SharedLevel | undefined, { instance, rate, used, now }: Take): SharedLevel {
  const { level, at, users } = known ?? { level: rate.burst, at: now, users: {} };
  // Clocks differ: time that one of them has credited already is not credited again.
  const refill = (Math.max(0, now - at) / 1000) * rate.perSecond;
  const active = Object.entries(users).filter(([, seenAt]) => now - seenAt < IDLE_MS);
  return {
    // What was used came out of what came back meanwhile, too: so the brim counts last.
    level: Math.min(rate.burst, level + refill - used),
    at: Math.max(at, now),
    users: { ...Object.fromEntries(active), [instance]: now },
  };
}

/** Nobody uses it and it is full again: as if it had never been. */
export function isAtRest({ level, at, users }: SharedLevel, rate: Rate, now: number): boolean {
  const isUnused = Object.values(users).every((seenAt) => now - seenAt >= IDLE_MS);
  return isUnused && level + ((now - at) / 1000) * rate.perSecond >= rate.burst;
}

/**
 * One process's part of a bucket that several share. It spends an allowance and pays afterwards: so all
 * together take no more than the bucket gives, and the allowances of one round. Cut off from the others it is
 * a bucket of its own, with an equal share. Times are monotonic milliseconds, passed in.
 */
export class SharedTokens implements Tokens {
  #rate: Rate;
  readonly #processes: () => number;
  #left = 0;
  #used = 0;
  #users = 1;
  #wantedAt = Number.NEGATIVE_INFINITY;
  #heardAt = Number.NEGATIVE_INFINITY;
  #own: TokenBucket | undefined;

  /** `processes`: how many share the bucket, as far as is known. */
  constructor(rate: Rate, processes: () => number) {
    this.#rate = rate;
    this.#processes = processes;
  }

  get rate(): Rate {
    return this.#rate;
  }

  set rate(rate: Rate) {
    this.#rate = rate;
    this.#own = undefined;
  }

  available(now: number): number {
    const own = this.#alone(now);
    if (own !== undefined) return own.available(now);
    const left = now - this.#wantedAt > IDLE_MS ? this.#firstAllowance() : this.#left;
    return Math.max(0, Math.floor(left + ROUNDING));
  }

  charge(now: number, tokens: number): void {
    this.#want(now);
    this.#used += tokens;
    const own = this.#alone(now);
    if (own === undefined) this.#left -= tokens;
    else own.charge(now, tokens);
  }

  waitMs(now: number): number {
    this.#want(now);
    const own = this.#alone(now);
    if (own !== undefined) return own.waitMs(now);
    const missing = 1 - this.#left;
    if (missing <= ROUNDING) return 0;
    return Math.max(ROUND_MS, (missing / this.#rate.perSecond) * this.#users * 1000);
  }

  /** Whether it has something to tell the others, or to hear from them. */
  isInUse(now: number): boolean {
    return this.#used > 0 || now - this.#wantedAt <= IDLE_MS;
  }

  /** Whether the others have not been heard of for too long, though there was something to tell them. */
  isCutOff(now: number): boolean {
    return this.isInUse(now) && now - this.#heardAt > STALE_MS;
  }

  get used(): number {
    return this.#used;
  }

  /** The others know of `used` tokens now: the allowance until the next round. */
  heard(level: SharedLevel, { used, now }: { readonly used: number; readonly now: number }): void {
    this.#used -= used;
    this.#users = Object.keys(level.users).length;
    const due = Math.max(0, level.level + (this.#rate.perSecond * ROUND_MS) / 1000);
    // What was used while they were told comes out of the new allowance.
    this.#left = due / this.#users - this.#used;
    this.#heardAt = now;
    this.#own = undefined;
  }

  #want(now: number): void {
    if (now - this.#wantedAt > IDLE_MS && this.#used === 0) {
      this.#left = this.#firstAllowance();
      this.#users = this.#processes();
      this.#heardAt = now;
    }
    this.#wantedAt = now;
  }

  #firstAllowance(): number {
    return Math.max(1, this.#rate.burst / this.#processes());
  }

  #alone(now: number): TokenBucket | undefined {
    if (!this.isCutOff(now)) return undefined;
    const processes = this.#processes();
    const { perSecond, burst } = this.#rate;
    this.#own ??= new TokenBucket({ perSecond: perSecond / processes, burst: Math.max(1, burst / processes), now });
    return this.#own;
  }
}

/** What sums of fractions may be off by. */
const ROUNDING = 1e-9;
