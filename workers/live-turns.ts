import type { Clock } from "../core/environment.ts";
import { FairQueue } from "../core/qps/fair-queue.ts";

interface Waiter {
  resume(): void;
}

export interface TurnRequest {
  readonly tenantId: string;
  readonly weight: number;
  /** What the delivery will cost this thread: an event is 1, and each KiB of it 1 more. */
  readonly cost: number;
}

interface Waiting extends TurnRequest {
  readonly lane: Waiter;
  isGone: boolean;
}

/** Cost that may be begun in one turn of the event loop before tenants take turns: some ten milliseconds of work. */
const SLICE_COST = 1_000;
/** What one tenant of weight 1 may begin before it is the next one's turn. */
const QUANTUM = 500;

/**
 * Whose live lane delivers next. A worker's lanes share one thread; what they wait for, a slow sink,
 * costs it nothing, but what they begin does. So nothing is held back until one turn of the event loop
 * has enough to do; from then on tenants take turns by weight, however many lanes each has ready, and
 * each lane of a tenant in the order in which it asked. Work is proportional to the lanes that are ready.
 */
export class LiveTurns {
  readonly #clock: Clock;
  readonly #queue = new FairQueue<Waiting>({ costOf: ({ cost }) => cost, quantum: QUANTUM });
  readonly #waiting = new Map<Waiter, Waiting>();
  #begun = 0;
  #granted: Waiter | undefined;
  #isSliced = false;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Lanes that wait for their turn. */
  get waiting(): number {
    return this.#waiting.size;
  }

  /** Whether the lane may deliver now; if not, it is resumed when it is its turn, and is to ask again then. */
  take(lane: Waiter, request: TurnRequest): boolean {
    if (this.#granted === lane) {
      this.#granted = undefined;
      return true;
    }
    if (this.#waiting.has(lane)) return false;
    this.#slice();
    if (this.#waiting.size === 0 && this.#begun < SLICE_COST) {
      this.#begun += request.cost;
      return true;
    }
    const waiting = { lane, ...request, isGone: false };
    this.#waiting.set(lane, waiting);
    this.#queue.push(request.tenantId, waiting, request.weight);
    return false;
  }

  /** The lane waits no more. */
  leave(lane: Waiter): void {
    const waiting = this.#waiting.get(lane);
    if (waiting === undefined) return;
    waiting.isGone = true;
    this.#waiting.delete(lane);
  }

  #slice(): void {
    if (this.#isSliced) return;
    this.#isSliced = true;
    void this.#clock.sleep(0).then(() => this.#next());
  }

  #next(): void {
    this.#isSliced = false;
    this.#begun = 0;
    while (this.#begun < SLICE_COST) {
      const next = this.#queue.take(Number.POSITIVE_INFINITY);
      if (next === undefined) break;
      if (next.isGone) continue;
      this.#waiting.delete(next.lane);
      this.#granted = next.lane;
      next.lane.resume();
      // It may have had other plans meanwhile; then this cost nothing.
      if (this.#granted === undefined) this.#begun += next.cost;
      this.#granted = undefined;
    }
    if (this.#waiting.size > 0) this.#slice();
  }
}
