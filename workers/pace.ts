import type { Clock } from "../core/environment.ts";

/** Rounds that may end in one turn of the event loop; each is a batch or a lone event. */
const ROUNDS_MAX = 256;
/** Pieces of work may take so long in one turn, in all. */
const PIECES_MS_MAX = 10;

/**
 * Sinks that answer without any I/O would keep a busy worker in one endless turn of the event loop,
 * deaf to messages and timers. After so many rounds every lane waits for the next turn.
 */
export class Pace {
  readonly #clock: Clock;
  #rounds = 0;
  #piecesMs = 0;
  #breath: Promise<void> | undefined;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** To be awaited after a round, when there is something to await. */
  round(): Promise<void> | undefined {
    this.#rounds += 1;
    if (this.#rounds >= ROUNDS_MAX) return this.rest();
    return this.#breath;
  }

  /** Whether this turn has had its share of work that takes milliseconds, so that more of it must `rest` first. */
  get isSpent(): boolean {
    return this.#piecesMs >= PIECES_MS_MAX;
  }

  /** Does a piece of work that may take milliseconds, such as a transform or a condition. */
  timed<T>(work: () => T): T {
    const startedAt = this.#clock.monotonic();
    const result = work();
    this.#piecesMs += this.#clock.monotonic() - startedAt;
    return result;
  }

  /** Resolves in the next turn of the event loop. */
  rest(): Promise<void> {
    this.#breath ??= this.#breathe();
    return this.#breath;
  }

  async #breathe(): Promise<void> {
    await this.#clock.sleep(0);
    this.#rounds = 0;
    this.#piecesMs = 0;
    this.#breath = undefined;
  }
}
