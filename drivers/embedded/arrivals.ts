import type { Stream } from "../../core/ingestion/log.ts";
import type { StreamState } from "./streams.ts";

/** Tells waiting readers which streams of their slots got entries. */
export class Arrivals {
  private readonly waiters = new Set<Waiter>();

  /** Call for each stream that got entries, then `wake` once they are readable. */
  note(state: StreamState): void {
    for (const waiter of this.waiters) waiter.note(state);
  }

  wake(): void {
    for (const waiter of this.waiters) waiter.wake();
  }

  get isWatched(): boolean {
    return this.waiters.size > 0;
  }

  /** Counts from this call on, not from the first `next`. */
  watch(slots: ReadonlySet<number>, signal: AbortSignal): AsyncIterable<readonly Stream[]> {
    const waiter = new Waiter(slots);
    const end = (): void => {
      this.waiters.delete(waiter);
      signal.removeEventListener("abort", end);
      waiter.end();
    };
    this.waiters.add(waiter);
    if (signal.aborted) end();
    else signal.addEventListener("abort", end, { once: true });
    const iterator: AsyncIterator<readonly Stream[]> = {
      next: () => waiter.next(),
      return: async () => {
        end();
        return { done: true, value: undefined };
      },
    };
    return { [Symbol.asyncIterator]: () => iterator };
  }

  close(): void {
    for (const waiter of this.waiters) waiter.end();
    this.waiters.clear();
  }
}

class Waiter {
  private readonly slots: ReadonlySet<number>;
  private arrived = new Set<StreamState>();
  private ended = false;
  private readonly pending: Array<(result: IteratorResult<readonly Stream[]>) => void> = [];

  constructor(slots: ReadonlySet<number>) {
    this.slots = slots;
  }

  note(state: StreamState): void {
    if (this.slots.has(state.slot)) this.arrived.add(state);
  }

  wake(): void {
    if (this.arrived.size > 0) this.pending.shift()?.(this.take());
  }

  end(): void {
    this.ended = true;
    for (const resolve of this.pending.splice(0)) resolve({ done: true, value: undefined });
  }

  next(): Promise<IteratorResult<readonly Stream[]>> {
    if (this.ended) return Promise.resolve({ done: true, value: undefined });
    if (this.arrived.size > 0 && this.pending.length === 0) return Promise.resolve(this.take());
    return new Promise((resolve) => this.pending.push(resolve));
  }

  private take(): IteratorResult<readonly Stream[]> {
    const streams = Array.from(this.arrived, (state) => state.stream);
    this.arrived = new Set();
    return { done: false, value: streams };
  }
}
