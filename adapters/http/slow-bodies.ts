import type { Clock } from "../../core/environment.ts";

const SWEEP_MS = 500;
/** A body may begin slowly: a connection has to find its speed. */
const GRACE_MS = 5_000;

/** A request whose body is on its way. */
interface ComingBody {
  readonly startedMs: number;
  readonly bodyBytes: number;
  /** The connection is done with: it is answered, and nothing more is read from it. */
  giveUp(detail: string): void;
}

/** Bodies that did not come with their first chunk, and who is too slow among them. One timer for all. */
export class SlowBodies {
  readonly #clock: Clock;
  readonly #ended = new AbortController();
  readonly #coming = new Set<ComingBody>();

  /** `bytesPerSecondMin` is asked at each sweep; 0 lets everybody take until the body's deadline. */
  constructor(clock: Clock, bytesPerSecondMin: () => number) {
    this.#clock = clock;
    void this.#run(bytesPerSecondMin);
  }

  watch(body: ComingBody): void {
    this.#coming.add(body);
  }

  leave(body: ComingBody): void {
    this.#coming.delete(body);
  }

  close(): void {
    this.#ended.abort();
  }

  async #run(bytesPerSecondMin: () => number): Promise<void> {
    while (!this.#ended.signal.aborted) {
      await this.#clock.sleep(SWEEP_MS, this.#ended.signal);
      if (this.#coming.size > 0) this.#sweep(bytesPerSecondMin());
    }
  }

  #sweep(bytesPerSecondMin: number): void {
    const now = this.#clock.monotonic();
    for (const body of this.#coming) {
      const elapsedMs = now - body.startedMs;
      if (elapsedMs < GRACE_MS || body.bodyBytes >= (bytesPerSecondMin * elapsedMs) / 1000) continue;
      body.giveUp(`the body comes in at less than ${bytesPerSecondMin} bytes per second`);
    }
  }
}
