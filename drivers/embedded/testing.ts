import { encodeParts } from "../../core/canonical/codec.ts";
import type { Clock, Logger } from "../../core/environment.ts";
import type { AppendEntry } from "../../core/ingestion/log.ts";
import type { LogMetrics } from "../../core/ingestion/metrics.ts";

/** A clock that goes like the real one, from a wall time that tests may step. */
export class SteppedClock implements Clock {
  private offsetMs = 0;
  private readonly hasty: boolean;

  /** `hasty`: sleeps are over at the next turn of the loop. */
  constructor(options: { readonly hasty?: boolean } = {}) {
    this.hasty = options.hasty ?? false;
  }

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
      if (signal?.aborted === true) return resolve();
      const timer = setTimeout(resolve, this.hasty ? 0 : ms);
      signal?.addEventListener("abort", () => {
        clearTimeout(timer);
        resolve();
      });
    });
  }
}

export const quietLogger: Logger = { debug() {}, info() {}, warn() {}, error() {} };

export const noMetrics: LogMetrics = {
  commit() {},
  dedup() {},
  failed() {},
  alarm() {},
};

/** A fresh entry; `payloadBytes` makes it larger. */
export function entryOf(tenantId: string, eventId: string, payloadBytes = 10): AppendEntry {
  const payload = Buffer.from(`{"x":"${"x".repeat(payloadBytes)}"}`);
  const bytes = encodeParts({ eventId, tenantId, eventType: "order_paid", source: "http", payload });
  return { stream: { tenantId, partition: 0 }, eventId, bytes };
}

/** Mulberry32: the same numbers for the same seed. */
export function seeded(seed: number): () => number {
  let state = seed | 0;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}
