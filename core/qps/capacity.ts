import type { Clock } from "../environment.ts";

export interface CapacityOptions {
  readonly clock: Clock;
  /** Cost of all that may be under way at one time, in bytes: the upper bound of the limit. */
  readonly costMax: number;
  /** Bytes that the process may still take; asked for ten times a second. Without it, any number. */
  readonly roomBytes?: (() => number) | undefined;
}

export interface Commit {
  /** As it was entered. */
  readonly cost: number;
  /** How long its first event waited for its turn. */
  readonly waitSeconds: number;
  /** How long the write took. */
  readonly syncSeconds: number;
}

/** Beside its bytes, what an event costs in objects and work. */
export const EVENT_COST = 1024;

/** Waiting longer than this, and than two writes of the log, is a queue that grows. */
const WAIT_TARGET_SECONDS = 0.2;
/** The queue is judged over so long: a wait that was short at any time in it was no standing queue. */
const INTERVAL_MS = 100;
/** What may be under way while there is a standing queue: as much as the log takes in so long. */
const QUEUE_SECONDS = 0.4;
/** The limit never closes the door: this part of `costMax` is always let in, however slow the machine is at the moment. */
const FLOOR = 0.25;

/** The level at the bound is reckoned anew once what is under way, or the tenants it is of, have changed by this part. */
const STALE = 1 / 16;

/** What is under way is there as a body, in canonical form and in a block, and what is let go of waits for the collector. */
const BYTES_PER_COST = 4;
/** As `FLOOR`, while memory is short. */
const MEMORY_FLOOR = 1 / 16;

interface Share {
  weight: number;
  cost: number;
}

/**
 * Bounds what is under way at the door, all tenants together. The bound follows the log: once there is
 * a standing queue before it (as CoDel tells it: no commit of an interval whose wait was short), no
 * more is let in than the log takes in a moment. At the limit, tenants are shed that hold their
 * weighted share or more; those under it go on: max–min fairness by what is in flight. So whoever
 * sends enough has enough waiting for its turns at the log, whatever the size of its events.
 */
export class Capacity {
  readonly #clock: Clock;
  readonly #roomBytes: () => number;
  readonly costMax: number;
  readonly #shares = new Map<string, Share>();
  /** Of the tenants that have something under way. */
  #weights = 0;
  #cost = 0;
  #limit: number;
  /** As it was when it was last reckoned, which takes a look at every tenant. */
  #level = { level: 0, forCost: 0, forWeights: 0, forLimit: 0 };
  #intervalBeganAt: number;
  #shortestExcess = Number.POSITIVE_INFINITY;
  #committed = 0;

  constructor({ clock, costMax, roomBytes = () => Number.POSITIVE_INFINITY }: CapacityOptions) {
    this.#clock = clock;
    this.#roomBytes = roomBytes;
    this.costMax = costMax;
    this.#limit = costMax;
    this.#intervalBeganAt = clock.monotonic();
  }

  /** Cost that may be under way now. */
  get limit(): number {
    return this.#limit;
  }

  /** Cost that is under way. */
  get cost(): number {
    return this.#cost;
  }

  /** As much is under way as may be: some are refused. */
  get isFull(): boolean {
    return this.#cost >= this.#limit;
  }

  /** What each tenant has under way. */
  *costs(): Generator<readonly [tenantId: string, cost: number]> {
    for (const [tenantId, { cost }] of this.#shares) yield [tenantId, cost];
  }

  /** Whether the tenant may go on to more under way: asked before a body is read, and as a long one comes in. */
  admits(tenantId: string, weight: number, limit = this.#limit): boolean {
    if (this.#cost < limit) return true;
    const share = this.#shares.get(tenantId);
    const weights = this.#weights + (share === undefined ? weight : 0);
    const cost = share?.cost ?? 0;
    return cost < (limit * weight) / weights || cost < this.#levelAt(limit) * weight;
  }

  /** The cost by weight that no tenant may go beyond, so that all together have the limit: what some leave, others have. */
  #levelAt(limit: number): number {
    const { forCost, forWeights, forLimit } = this.#level;
    const isNear =
      Math.abs(this.#cost - forCost) < limit * STALE && Math.abs(this.#weights - forWeights) <= forWeights * STALE;
    if (!isNear || forLimit !== limit)
      this.#level = {
        ...{ forCost: this.#cost, forWeights: this.#weights, forLimit: limit },
        level: waterLevel(this.#shares, limit),
      };
    return this.#level.level;
  }

  /** Something of the tenant is under way from here until `leave` with the same cost. */
  enter(tenantId: string, weight: number, cost: number): void {
    let share = this.#shares.get(tenantId);
    if (share === undefined) {
      share = { weight, cost: 0 };
      this.#shares.set(tenantId, share);
      this.#weights += weight;
    }
    share.cost += cost;
    this.#cost += cost;
  }

  leave(tenantId: string, cost: number): void {
    const share = this.#shares.get(tenantId);
    if (share === undefined) return;
    share.cost -= cost;
    this.#cost -= cost;
    if (share.cost > 0) return;
    this.#shares.delete(tenantId);
    this.#weights -= share.weight;
  }

  /** The log committed: how long the queue before it is, and how fast it goes down. */
  committed({ cost, waitSeconds, syncSeconds }: Commit): void {
    this.#committed += cost;
    this.#shortestExcess = Math.min(this.#shortestExcess, waitSeconds - Math.max(WAIT_TARGET_SECONDS, 2 * syncSeconds));
    const now = this.#clock.monotonic();
    const seconds = (now - this.#intervalBeganAt) / 1000;
    if (seconds * 1000 < INTERVAL_MS) return;
    const taken = (this.#committed / seconds) * QUEUE_SECONDS;
    const least = MEMORY_FLOOR * this.costMax;
    const spare = Math.min(this.costMax, Math.max(least, this.#cost + this.#roomBytes() / BYTES_PER_COST));
    const queued = this.#shortestExcess > 0 ? Math.max(FLOOR * this.costMax, taken) : this.costMax;
    this.#limit = Math.min(spare, queued);
    this.#intervalBeganAt = now;
    this.#shortestExcess = Number.POSITIVE_INFINITY;
    this.#committed = 0;
  }
}

/** The level at which Σ min(cost, level × weight) is the limit. A few looks at each: those below it leave the rest more. */
function waterLevel(shares: ReadonlyMap<string, Share>, limit: number): number {
  for (let level = 0; ; ) {
    let left = limit;
    let weights = 0;
    for (const { cost, weight } of shares.values()) {
      if (cost < level * weight) left -= cost;
      else weights += weight;
    }
    const next = left / weights;
    if (weights === 0 || next <= level) return level;
    level = next;
  }
}
