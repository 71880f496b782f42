import type { Clock } from "../../core/environment.ts";

interface Sleeper {
  readonly at: number;
  readonly order: number;
  readonly wake: () => void;
}

/** Time that moves only when told: the clock of tests and of the simulation. */
export class SimClock implements Clock {
  #monotonic = 0;
  #wall: number;
  #order = 0;
  readonly #sleepers = new Set<Sleeper>();

  constructor(startMs = Date.UTC(2026, 0, 1)) {
    this.#wall = startMs;
  }

  now(): number {
    return this.#wall;
  }

  monotonic(): number {
    return this.#monotonic;
  }

  sleep(ms: number, signal?: AbortSignal): Promise<void> {
    if (signal?.aborted === true) return Promise.resolve();
    return new Promise((resolve) => {
      const sleeper: Sleeper = {
        at: this.#monotonic + Math.max(0, ms),
        order: this.#order++,
        wake: () => {
          this.#sleepers.delete(sleeper);
          signal?.removeEventListener("abort", sleeper.wake);
          resolve();
        },
      };
      this.#sleepers.add(sleeper);
      signal?.addEventListener("abort", sleeper.wake, { once: true });
    });
  }

  /** Steps the wall clock alone, as an operator or NTP would; backwards too. No sleeper wakes. */
  stepWall(ms: number): void {
    this.#wall += ms;
  }

  /** How many sleep now. */
  get sleeping(): number {
    return this.#sleepers.size;
  }

  /** Lets `ms` pass: wakes sleepers in order, each after the work that the one before it caused. */
  async advance(ms: number): Promise<void> {
    const until = this.#monotonic + ms;
    await turn();
    for (let next = this.#next(); next !== undefined && next.at <= until; next = this.#next()) {
      this.#moveTo(next.at);
      next.wake();
      await turn();
    }
    this.#moveTo(until);
  }

  /**
   * Lets time pass until the condition holds, jumping from sleeper to sleeper.
   * Rejects after `limitMs` of this clock's time, or when nobody sleeps and nothing can change.
   */
  async runUntil(condition: () => boolean | Promise<boolean>, limitMs: number): Promise<void> {
    const until = this.#monotonic + limitMs;
    await turn();
    while (!(await condition())) {
      const next = this.#next();
      if (next === undefined) throw new Error("nothing is left to happen, and the condition does not hold");
      if (next.at > until) throw new Error(`the condition does not hold after ${limitMs} ms`);
      this.#moveTo(next.at);
      next.wake();
      await turn();
    }
  }

  #next(): Sleeper | undefined {
    let first: Sleeper | undefined;
    for (const sleeper of this.#sleepers) {
      if (first === undefined || sleeper.at < first.at || (sleeper.at === first.at && sleeper.order < first.order)) {
        first = sleeper;
      }
    }
    return first;
  }

  #moveTo(at: number): void {
    this.#wall += at - this.#monotonic;
    this.#monotonic = at;
  }
}

/** Lets everything that is ready run: one turn of the event loop drains all promises that wait for no time. */
export function turn(): Promise<void> {
  return new Promise((resolve) => {
    setImmediate(resolve);
  });
}

/** A seeded generator (mulberry32): the same seed, the same numbers. */
export function seededRandom(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296;
  };
}
