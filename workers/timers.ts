import type { Clock } from "../core/environment.ts";
import { MinHeap } from "../core/qps/queue.ts";

export interface Timer {
  cancel(): void;
}

interface Entry extends Timer {
  readonly at: number;
  run: (() => void) | undefined;
}

/** Cancelled timers are thrown out when they are the most, and so many at least. */
const CANCELLED_MIN = 1_000;

/**
 * Many timers on one sleep of the clock: a worker with ten thousand lanes has one pending sleep.
 * Most are deadlines that never come, so a cancelled one is only marked, and swept out with others.
 */
export class Timers {
  readonly clock: Clock;
  readonly #heap = new MinHeap<Entry>((entry) => entry.at);
  #sleepingUntil = Number.POSITIVE_INFINITY;
  #alarm: AbortController | undefined;
  #closed = false;
  #cancelled = 0;

  constructor(clock: Clock) {
    this.clock = clock;
  }

  now(): number {
    return this.clock.monotonic();
  }

  /** Runs `run` once after `ms`, unless cancelled. */
  after(ms: number, run: () => void): Timer {
    const entry: Entry = { at: this.now() + Math.max(0, ms), run, cancel: () => this.#cancel(entry) };
    if (this.#closed) return entry;
    this.#heap.push(entry);
    if (entry.at < this.#sleepingUntil) this.#sleep(entry.at);
    return entry;
  }

  /** Resolves after `ms`; never once closed. */
  pause(ms: number): Promise<void> {
    return new Promise((resolve) => this.after(ms, resolve));
  }

  /** Lets go of the clock; pending timers never run. */
  close(): void {
    this.#closed = true;
    this.#alarm?.abort();
  }

  /** How many are kept, cancelled ones included. */
  get size(): number {
    return this.#heap.size;
  }

  #cancel(entry: Entry): void {
    if (entry.run === undefined) return;
    entry.run = undefined;
    this.#cancelled += 1;
    if (this.#cancelled < CANCELLED_MIN || this.#cancelled * 2 < this.#heap.size) return;
    this.#heap.retain(({ run }) => run !== undefined);
    this.#cancelled = 0;
  }

  #sleep(until: number): void {
    this.#alarm?.abort();
    const alarm = new AbortController();
    this.#alarm = alarm;
    this.#sleepingUntil = until;
    void this.clock.sleep(until - this.now(), alarm.signal).then(() => {
      if (!alarm.signal.aborted) this.#ring();
    });
  }

  #ring(): void {
    this.#sleepingUntil = Number.POSITIVE_INFINITY;
    this.#alarm = undefined;
    const now = this.now();
    for (let entry = this.#heap.peek(); entry !== undefined; entry = this.#heap.peek()) {
      if (entry.run !== undefined && entry.at > now) break;
      this.#heap.pop();
      const { run } = entry;
      entry.run = undefined;
      if (run === undefined) this.#cancelled -= 1;
      else run();
    }
    const next = this.#heap.peek();
    if (next !== undefined && next.at < this.#sleepingUntil) this.#sleep(next.at);
  }
}
