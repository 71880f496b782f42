import type { Random } from "../environment.ts";
import { fullJitterMs } from "./backoff.ts";

export type BreakerState = "closed" | "open" | "half_open";

/** `batch`: go on. `probe`: send one event and report. A number: ask again at this monotonic time, or when told. */
export type Permit = "batch" | "probe" | { readonly waitUntil: number };

export interface BreakerOptions {
  readonly random: Random;
  /** Whole rounds that must fail in a row before it opens. */
  readonly failuresToOpen: number;
  /** Pause after a failed round while still closed: full jitter below min × 2^n. */
  readonly coolMinMs: number;
  readonly coolMaxMs: number;
  /** Between probes: grows from min to max, the upper half of it jittered. */
  readonly probeMinMs: number;
  readonly probeMaxMs: number;
}

/**
 * Tells an outage of one sink target from a bad event: it hears of whole rounds only. Closed until
 * enough rounds failed in a row (or the target said that it is unavailable); then one probe at a
 * time; any sign of life closes it. All times are monotonic milliseconds, passed in.
 */
export class Breaker {
  readonly #options: BreakerOptions;
  #state: BreakerState = "closed";
  #failures = 0;
  #probes = 0;
  #notBefore = Number.NEGATIVE_INFINITY;

  constructor(options: BreakerOptions) {
    this.#options = options;
  }

  get state(): BreakerState {
    return this.#state;
  }

  /** Asks to deliver. `probe` is a promise of the caller to report `alive`, `failed` or `released`. */
  permit(now: number): Permit {
    if (this.#state === "half_open") return { waitUntil: Number.POSITIVE_INFINITY };
    if (now < this.#notBefore) return { waitUntil: this.#notBefore };
    if (this.#state === "closed") return "batch";
    this.#state = "half_open";
    return "probe";
  }

  /** An event was taken, or refused for good: the target works. Returns true if that closed the breaker. */
  alive(): boolean {
    const closed = this.#state !== "closed";
    this.#state = "closed";
    this.#failures = 0;
    this.#probes = 0;
    this.#notBefore = Number.NEGATIVE_INFINITY;
    return closed;
  }

  /** A whole round failed. Returns true if that opened the breaker. */
  failed(now: number, round: { readonly unavailable: boolean; readonly retryAfterMs: number }): boolean {
    this.#failures += 1;
    const opens = this.#state === "closed" && (round.unavailable || this.#failures >= this.#options.failuresToOpen);
    // A batch that was already out when the breaker opened adds nothing to it.
    if (this.#state === "open") return false;
    if (opens || this.#state === "half_open") this.#open(now, round.retryAfterMs);
    else this.#notBefore = now + Math.max(this.#coolMs(), round.retryAfterMs);
    return opens;
  }

  /** The probe was not sent after all. */
  released(): void {
    if (this.#state === "half_open") this.#state = "open";
  }

  #open(now: number, retryAfterMs: number): void {
    this.#state = "open";
    this.#probes += 1;
    this.#notBefore = now + Math.max(this.#probeDelayMs(), retryAfterMs);
  }

  #coolMs(): number {
    const { coolMinMs, coolMaxMs, random } = this.#options;
    return fullJitterMs({ attempt: this.#failures, minMs: coolMinMs, maxMs: coolMaxMs, random });
  }

  /** Not full jitter: a probe at once after a failed one would tell nothing new. */
  #probeDelayMs(): number {
    const { probeMinMs, probeMaxMs, random } = this.#options;
    const cap = Math.min(probeMaxMs, probeMinMs * 2 ** Math.min(this.#probes - 1, 30));
    return cap / 2 + (random() * cap) / 2;
  }
}
