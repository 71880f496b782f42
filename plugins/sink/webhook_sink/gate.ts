import { performance } from "node:perf_hooks";

/** Without a word of the endpoint on how long to wait. */
const PAUSE_MS = 1_000;

/**
 * Lets so many requests through at one time: fewer when the endpoint says that it has too much to do
 * (halved), more again as it takes them (one more for each full round).
 */
export class Gate {
  readonly #max: number;
  readonly #waiting: (() => void)[] = [];
  #limit: number;
  #busy = 0;
  #slowedAt = Number.NEGATIVE_INFINITY;
  #pausedUntil = Number.NEGATIVE_INFINITY;

  constructor(max: number) {
    this.#max = max;
    this.#limit = max;
  }

  /** Requests let through at one time, as of now. */
  get limit(): number {
    return Math.floor(this.#limit);
  }

  /** The endpoint asked for a pause, which lasts so much longer; 0 when there is none. */
  get pausedMs(): number {
    return Math.max(0, this.#pausedUntil - performance.now());
  }

  /** Resolves when there is room; `leave` must follow. */
  async enter(): Promise<void> {
    if (this.#busy >= this.limit) await new Promise<void>((resolve) => this.#waiting.push(resolve));
    else this.#busy += 1;
  }

  leave(): void {
    this.#busy -= 1;
    while (this.#busy < this.limit) {
      const next = this.#waiting.shift();
      if (next === undefined) return;
      this.#busy += 1;
      next();
    }
  }

  taken(): void {
    this.#limit = Math.min(this.#max, this.#limit + 1 / this.#limit);
  }

  /** `sentAt`: of the request that was told so; those that were out together count once. */
  slowDown({ sentAt, pauseMs = PAUSE_MS }: { readonly sentAt: number; readonly pauseMs?: number | undefined }): void {
    const now = performance.now();
    this.#pausedUntil = Math.max(this.#pausedUntil, now + pauseMs);
    if (sentAt < this.#slowedAt) return;
    this.#slowedAt = now;
    this.#limit = Math.max(1, this.#limit / 2);
  }
}
