import type { Clock, Logger } from "../../core/environment.ts";
import type { LogMetrics } from "../../core/ingestion/metrics.ts";

/** A clock that goes like the real one, from a wall time that tests may step. */
export class SteppedClock implements Clock {
  private offsetMs = 0;

  step(ms: number): void {
    this.offsetMs += ms;
  }

  now(): number {
    return Date.now() + this.offsetMs;
  }

  monotonic(): number {
    return performance.now();
  }

  sleep(ms: number, signal?: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, ms);
      signal?.addEventListener("abort", () => {
        clearTimeout(timer);
        resolve();
      });
    });
  }
}

export const quietLogger: Logger = { debug() {}, info() {}, warn() {}, error() {} };

export const noMetrics: LogMetrics = { commit() {}, dedup() {}, failed() {} };
