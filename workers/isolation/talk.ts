/** Lines of one plugin's in a second. */
const LINES_MAX = 100;
const WINDOW_MS = 1_000;

/** Bounds what a plugin says: a flood of lines must cost others neither time nor disk. */
export class Talk {
  readonly #now: () => number;
  readonly #onCut: (message: string) => void;
  #startedAt = Number.NEGATIVE_INFINITY;
  #lines = 0;

  /** `now` in milliseconds; `onCut` once in each second of which something is left out. */
  constructor(now: () => number, onCut: (message: string) => void) {
    this.#now = now;
    this.#onCut = onCut;
  }

  /** Whether one more line may be said. */
  passes(): boolean {
    const now = this.#now();
    if (now - this.#startedAt >= WINDOW_MS) {
      this.#startedAt = now;
      this.#lines = 0;
    }
    this.#lines += 1;
    if (this.#lines === LINES_MAX + 1)
      this.#onCut(`plugin says more than ${LINES_MAX} lines a second; the rest is left out`);
    return this.#lines <= LINES_MAX;
  }
}
