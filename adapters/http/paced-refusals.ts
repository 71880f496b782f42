import type { Clock } from "../../core/environment.ts";
import { Pacing } from "../../core/qps/pacing.ts";
import { MinHeap } from "../../core/qps/queue.ts";
import type { WireSource } from "./wire.ts";

interface Waiting {
  readonly atMs: number;
  readonly source: WireSource;
  readonly answer: () => void;
}

/** Beyond so many, answers go out at once: what waits is bounded. */
const WAITING_MAX = 8_192;
/** Answers that are due are looked for so often. */
const TICK_MS = 10;

/**
 * Refusals for want of room, each answered a while later. Until then nothing is read from its connection: the body
 * stays with the kernel and the client, and of the request there is its head alone.
 */
export class PacedRefusals {
  readonly #clock: Clock;
  readonly #pacing = new Pacing();
  readonly #waiting = new MinHeap<Waiting>(({ atMs }) => atMs);
  #isRunning = false;
  #isClosed = false;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Calls `answer` once its time has come. */
  later(source: WireSource, answer: () => void): void {
    if (this.#isClosed || this.#waiting.size >= WAITING_MAX) return answer();
    source.pause();
    this.#waiting.push({ atMs: this.#pacing.answerAt(this.#clock.monotonic()), source, answer });
    if (!this.#isRunning) void this.#run();
  }

  /** All get their answers now, and nobody waits from here on. */
  close(): void {
    this.#isClosed = true;
    this.#release(Number.POSITIVE_INFINITY);
  }

  async #run(): Promise<void> {
    this.#isRunning = true;
    while (this.#waiting.size > 0) {
      await this.#clock.sleep(TICK_MS);
      this.#release(this.#clock.monotonic());
    }
    this.#isRunning = false;
  }

  #release(nowMs: number): void {
    for (let next = this.#waiting.peek(); next !== undefined && next.atMs <= nowMs; next = this.#waiting.peek()) {
      this.#waiting.pop();
      next.source.resume();
      next.answer();
    }
  }
}
