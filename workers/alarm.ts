import type { Timer, Timers } from "./timers.ts";

/** One timer that is moved to and fro: for the next of several times at which there is something to do. */
export class Alarm {
  readonly #timers: Timers;
  readonly #ring: () => void;
  #timer: Timer | undefined;
  #at = Number.POSITIVE_INFINITY;

  constructor(timers: Timers, ring: () => void) {
    this.#timers = timers;
    this.#ring = ring;
  }

  /** Rings once at `at`, in monotonic milliseconds, and no more at the time set before; at infinity never. */
  set(at: number): void {
    if (at === this.#at) return;
    this.#timer?.cancel();
    this.#at = at;
    if (at === Number.POSITIVE_INFINITY) return;
    this.#timer = this.#timers.after(at - this.#timers.now(), () => {
      this.#at = Number.POSITIVE_INFINITY;
      this.#ring();
    });
  }
}
