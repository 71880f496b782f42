import { type Stream, type StreamKey, slotOf, streamKey } from "../core/ingestion/log.ts";

/** Wake-ups for the readers of one log: who waits for which slots, and what came since the last yield. */
export class ArrivalHub {
  readonly #subscriptions = new Set<Subscription>();

  /** Whether anybody waits. */
  get isWatched(): boolean {
    return this.#subscriptions.size > 0;
  }

  announce(streams: Iterable<Stream>): void {
    for (const stream of streams) {
      const slot = slotOf(stream);
      for (const subscription of this.#subscriptions) subscription.offer(stream, slot);
    }
  }

  /** Counts from this call on, not from the first `next`. */
  subscribe(slots: ReadonlySet<number>, signal: AbortSignal): AsyncIterable<readonly Stream[]> {
    const subscription = new Subscription(slots);
    const end = () => {
      this.#subscriptions.delete(subscription);
      subscription.end();
    };
    if (signal.aborted) subscription.end();
    else {
      this.#subscriptions.add(subscription);
      signal.addEventListener("abort", end, { once: true });
    }
    return iterate(subscription, () => {
      signal.removeEventListener("abort", end);
      end();
    });
  }

  /** Ends every iteration. */
  close(): void {
    for (const subscription of this.#subscriptions) subscription.end();
    this.#subscriptions.clear();
  }
}

class Subscription {
  readonly #slots: ReadonlySet<number>;
  #pending = new Map<StreamKey, Stream>();
  #wake: (() => void) | undefined;
  #ended = false;

  constructor(slots: ReadonlySet<number>) {
    this.#slots = slots;
  }

  offer(stream: Stream, slot: number): void {
    if (!this.#slots.has(slot)) return;
    this.#pending.set(streamKey(stream), stream);
    this.#wake?.();
  }

  end(): void {
    this.#ended = true;
    this.#wake?.();
  }

  async next(): Promise<readonly Stream[] | undefined> {
    while (this.#pending.size === 0 && !this.#ended) {
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
    if (this.#ended) return undefined;
    const streams = [...this.#pending.values()];
    this.#pending = new Map();
    return streams;
  }
}

function iterate(subscription: Subscription, stop: () => void): AsyncIterable<readonly Stream[]> {
  return {
    [Symbol.asyncIterator]: () => ({
      async next() {
        const value = await subscription.next();
        return value === undefined ? { done: true, value: undefined } : { done: false, value };
      },
      async return() {
        stop();
        return { done: true, value: undefined };
      },
    }),
  };
}
