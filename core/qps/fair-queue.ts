import { Fifo } from "./queue.ts";

interface Flow<T> {
  readonly key: string;
  readonly items: Fifo<T>;
  weight: number;
  /** Cost that the flow may still take in this round. */
  deficit: number;
}

/**
 * Items of many flows (tenants), each flow's in order, taken by deficit round robin: in a long run
 * every flow that waits gets cost through in proportion to its weight, whatever the size and number
 * of its items.
 * Constant work per item. (Shreedhar and Varghese, "Efficient Fair Queuing using Deficit Round Robin".)
 */
export class FairQueue<T> {
  readonly #costOf: (item: T) => number;
  readonly #quantum: number;
  readonly #flows = new Map<string, Flow<T>>();
  /** Flows that wait, the one whose turn it is first. */
  readonly #turns = new Fifo<Flow<T>>();
  #size = 0;
  #cost = 0;

  /** `quantum`: cost that a flow of weight 1 may take before the next has its turn. */
  constructor({ costOf, quantum }: { readonly costOf: (item: T) => number; readonly quantum: number }) {
    this.#costOf = costOf;
    this.#quantum = quantum;
  }

  get size(): number {
    return this.#size;
  }

  /** Of all items that wait. */
  get cost(): number {
    return this.#cost;
  }

  /** `weight`: the flow's share relative to others, from now on. */
  push(key: string, item: T, weight = 1): void {
    let flow = this.#flows.get(key);
    if (flow === undefined) {
      flow = { key, items: new Fifo(), weight, deficit: 0 };
      this.#flows.set(key, flow);
      this.#turns.push(flow);
    }
    flow.weight = weight;
    flow.items.push(item);
    this.#size += 1;
    this.#cost += this.#costOf(item);
  }

  /** The next item; undefined when none waits. */
  peek(): T | undefined {
    for (let flow = this.#turns.peek(); flow !== undefined; flow = this.#turns.peek()) {
      const item = flow.items.peek() as T;
      if (this.#costOf(item) <= flow.deficit) return item;
      this.#turns.shift();
      flow.deficit += this.#quantum * flow.weight;
      this.#turns.push(flow);
    }
    return undefined;
  }

  /** Takes the next item; undefined when none waits or when it costs more than `costMax`. */
  take(costMax: number): T | undefined {
    const item = this.peek();
    if (item === undefined) return undefined;
    const cost = this.#costOf(item);
    return cost > costMax ? undefined : this.#takeNext(cost);
  }

  /** Takes all that wait, flow by flow. */
  drain(): T[] {
    const items: T[] = [];
    for (const flow of this.#flows.values()) for (const item of flow.items) items.push(item);
    this.#flows.clear();
    while (this.#turns.shift() !== undefined);
    this.#size = 0;
    this.#cost = 0;
    return items;
  }

  #takeNext(cost: number): T {
    const flow = this.#turns.peek() as Flow<T>;
    const item = flow.items.shift() as T;
    flow.deficit -= cost;
    this.#size -= 1;
    this.#cost -= cost;
    if (flow.items.size === 0) {
      // A flow that has nothing waiting keeps no credit: it could flood with it later.
      this.#flows.delete(flow.key);
      this.#turns.shift();
    }
    return item;
  }
}
