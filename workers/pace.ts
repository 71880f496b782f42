import type { Clock } from "../core/environment.ts";

/** Rounds that may end in one turn of the event loop; each is a batch or a lone event. */
const ROUNDS_MAX = 256;

/**
 * Sinks that answer without any I/O would keep a busy worker in one endless turn of the event loop,
 * deaf to messages and timers. After so many rounds every lane waits for the next turn.
 */
export class Pace {
  readonly #clock: Clock;
  #rounds = 0;
  #breath: Promise<void> | undefined;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** To be awaited after a round, when there is something to await. */
  round(): Promise<void> | undefined {
    this.#rounds += 1;
    if (this.#breath === undefined && this.#rounds >= ROUNDS_MAX) this.#breath = this.#breathe();
    return this.#breath;
  }

  async #breathe(): Promise<void> {
    await this.#clock.sleep(0);
    this.#rounds = 0;
    this.#breath = undefined;
  }
}
