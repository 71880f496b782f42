export interface ConcurrencyOptions {
  /** Calls at one time that are never exceeded. */
  readonly max: number;
}

/** The first guess: few, so that a sink that is weak is not met with everything at once. */
const START = 4;
/** A call that took so many times the quickest of late is a sign that the sink queues. */
const SLOW_FACTOR = 2.5;
/** Below this, a call's time says nothing of a queue. */
const SLOW_MIN_MS = 20;
const SHRINK = 0.7;
/** With each call the quickest is forgotten by so much: the network's luck of one moment is no measure for ever. */
const FORGET = 1.0002;

/**
 * How many calls a target takes at one time, found by additive increase and multiplicative decrease:
 * one more for each round of calls that were all quick while the limit was used up, fewer by a third
 * when one failed or was much slower than the quickest. Between 1 and `max`.
 */
export class ConcurrencyLimit {
  readonly #max: number;
  #limit: number;
  #inFlight = 0;
  #quickestMs = Number.POSITIVE_INFINITY;
  /** Calls that began before the last decrease say nothing about the limit after it. */
  #epoch = 0;

  constructor({ max }: ConcurrencyOptions) {
    this.#max = max;
    this.#limit = Math.min(START, max);
  }

  get limit(): number {
    return Math.floor(this.#limit);
  }

  get inFlight(): number {
    return this.#inFlight;
  }

  /** Whether another call may begin; if so, it is to be ended by `leave` with what is returned. */
  enter(): number | undefined {
    if (this.#inFlight >= this.limit) return undefined;
    this.#inFlight += 1;
    return this.#epoch;
  }

  /** `tookMs` undefined: the call was cut off and says nothing. */
  leave(epoch: number, call: { readonly ok: boolean; readonly tookMs: number | undefined }): void {
    const wasFull = this.#inFlight >= this.limit;
    this.#inFlight -= 1;
    if (call.tookMs === undefined || epoch < this.#epoch) return;
    if (!call.ok) return this.#shrink();
    this.#quickestMs = Math.min(this.#quickestMs * FORGET, call.tookMs);
    const isSlow = call.tookMs > Math.max(SLOW_MIN_MS, this.#quickestMs * SLOW_FACTOR);
    // What one call alone takes is no queue of ours: the sink has become slower.
    if (isSlow && this.limit === 1) this.#quickestMs = call.tookMs;
    else if (isSlow) this.#shrink();
    else if (wasFull) this.#limit = Math.min(this.#max, this.#limit + 1 / this.#limit);
  }

  #shrink(): void {
    this.#limit = Math.max(1, this.#limit * SHRINK);
    this.#epoch += 1;
  }
}
