/** What is taken from by whoever finds a whole token; see `TokenBucket`. All times are monotonic milliseconds. */
export interface Tokens {
  /** Whole tokens that may be taken now; 0 while there is a debt. */
  available(now: number): number;
  /** Takes tokens, whether they are there or not. */
  charge(now: number, tokens: number): void;
  /** Milliseconds until there is a whole token; 0 when there is one. */
  waitMs(now: number): number;
}

export interface BucketOptions {
  /** Tokens that come back per second. */
  readonly perSecond: number;
  /** Tokens that a full bucket holds: what may be taken at once after a pause. */
  readonly burst: number;
  /** Monotonic milliseconds; the bucket is full then. */
  readonly now: number;
}

/**
 * A token bucket whose cost may become known only after the fact: whoever finds a token goes in, and
 * is charged what it turned out to cost; the debt is paid back before the next goes in. So no more
 * than `burst + perSecond × t` and one debt pass in any time t, and nothing that is due is lost.
 * All times are monotonic milliseconds, passed in.
 */
export class TokenBucket implements Tokens {
  readonly #perMs: number;
  readonly #burst: number;
  #level: number;
  #at: number;

  constructor({ perSecond, burst, now }: BucketOptions) {
    this.#perMs = perSecond / 1000;
    this.#burst = burst;
    this.#level = burst;
    this.#at = now;
  }

  available(now: number): number {
    return Math.max(0, Math.floor(this.#levelAt(now) + ROUNDING));
  }

  charge(now: number, tokens: number): void {
    this.#level = this.#levelAt(now) - tokens;
    this.#at = Math.max(now, this.#at);
  }

  waitMs(now: number): number {
    const missing = 1 - this.#levelAt(now);
    return missing <= ROUNDING ? 0 : missing / this.#perMs;
  }

  /** Takes over the level of the bucket before a change of its limits, so that a reload gives nobody a full bucket. */
  continueFrom(before: TokenBucket, now: number): this {
    this.#level = Math.min(this.#burst, before.#levelAt(now));
    this.#at = now;
    return this;
  }

  #levelAt(now: number): number {
    return Math.min(this.#burst, this.#level + Math.max(0, now - this.#at) * this.#perMs);
  }
}

/** What sums of fractions may be off by. */
const ROUNDING = 1e-9;
