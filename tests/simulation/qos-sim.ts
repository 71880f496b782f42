import type { Clock, Random } from "../../core/environment.ts";
import { Breaker } from "../../core/qps/breaker.ts";
import { Capacity } from "../../core/qps/capacity.ts";
import { FairQueue } from "../../core/qps/fair-queue.ts";
import { TenantQuota } from "../../core/qps/quota.ts";
import { LiveTurns } from "../../workers/live-turns.ts";
import { seededRandom } from "../helpers/sim-clock.ts";

/** A tenant from its clients to its sink. */
export interface QosTenant {
  readonly id: string;
  readonly weight: number;
  /** Bytes per second that its clients send, whatever they are answered. */
  readonly perSecond: number;
  readonly size: number;
  /** Events per second; undefined for no quota. */
  readonly quota: { readonly perSecond: number; readonly burst: number } | undefined;
  /** When its sink is down, in ms. */
  readonly outage: { readonly from: number; readonly to: number } | undefined;
}

export interface QosTally {
  /** Bytes that the quota let pass in the time that counts, and those that waited when it began. */
  passed: number;
  /** Bytes, in the time that counts. */
  stored: number;
  /** When events were let in past the quota. */
  readonly passedAt: number[];
  /** By the capacity, not by the quota. */
  shed: number;
  accepted: number;
  delivered: number;
  sentWhileDown: number;
  /** Longest time that an event waited for its sink, of those after which the sink was up all along. */
  deliveryMaxMs: number;
  /** From the end of the outage to the next delivery. */
  backAfterMs: number | undefined;
}

/** What the log takes per second. */
export const SERVICE = 20e6;
export const COST_MAX = 16 * 1024 * 1024;
const COMMIT_MAX = 1024 * 1024;
const SYNC_MS = 1;
/** How long a turn of the delivering thread takes. */
const TURN_MS = 5;
const SINK_MS = 4;
/** Events of one delivery. */
export const BATCH = 100;

/** Time that goes step by step, for code that only ever sleeps for a moment. */
class StepClock implements Clock {
  at = 0;
  #sleepers: Array<{ readonly at: number; readonly wake: () => void }> = [];

  now(): number {
    return this.at;
  }

  monotonic(): number {
    return this.at;
  }

  sleep(ms: number): Promise<void> {
    return new Promise((wake) => this.#sleepers.push({ at: this.at + Math.max(TURN_MS, ms), wake }));
  }

  after(ms: number, then: () => void): void {
    this.#sleepers.push({ at: this.at + ms, wake: then });
  }

  async step(): Promise<void> {
    this.at += 1;
    const due = this.#sleepers.filter(({ at }) => at <= this.at);
    if (due.length === 0) return;
    this.#sleepers = this.#sleepers.filter(({ at }) => at > this.at);
    for (const { wake } of due) wake();
    // What they began goes on in promises of its own.
    for (let turns = 0; turns < 4; turns++) await Promise.resolve();
  }
}

interface Item {
  readonly tenant: QosTenant;
  readonly at: number;
}

/** The door, the log and the lanes of some tenants for so many ms, a step per ms; the door's tallies are of its second half. */
export async function simulateQos(tenants: readonly QosTenant[], { ms, drainMs, seed }: SimTimes) {
  const clock = new StepClock();
  const random = seededRandom(seed);
  const tallies = new Map(tenants.map(({ id }) => [id, emptyTally()]));
  const tallyOf = (tenant: QosTenant): QosTally => tallies.get(tenant.id) as QosTally;
  const turns = new LiveTurns(clock);
  const lanes = new Map(
    tenants.map((tenant) => [tenant.id, new SimLane({ tenant, clock, turns, random, tally: tallyOf(tenant) })]),
  );
  const door = new SimDoor({ tenants, clock, random, tallies, halfMs: ms / 2 });
  let costPeak = 0;
  while (clock.at < ms + drainMs) {
    if (clock.at < ms) door.arrive();
    costPeak = Math.max(costPeak, door.cost);
    for (const { tenant, at } of door.commit()) lanes.get(tenant.id)?.push(at);
    await clock.step();
  }
  return { tallies, costPeak, seconds: ms / 2_000 };
}

export interface SimTimes {
  readonly ms: number;
  /** Afterwards nothing is sent any more. */
  readonly drainMs: number;
  readonly seed: number;
}

function emptyTally(): QosTally {
  return {
    ...{ passed: 0, stored: 0, passedAt: [], shed: 0, accepted: 0, delivered: 0 },
    ...{ sentWhileDown: 0, deliveryMaxMs: 0, backAfterMs: undefined },
  };
}

interface DoorOptions {
  readonly tenants: readonly QosTenant[];
  readonly clock: StepClock;
  readonly random: Random;
  readonly tallies: ReadonlyMap<string, QosTally>;
  readonly halfMs: number;
}

/** Quota, capacity, and the queue before a log that writes one batch at a time. */
class SimDoor {
  readonly #options: DoorOptions;
  readonly #capacity: Capacity;
  readonly #quotas: ReadonlyMap<string, TenantQuota>;
  readonly #credit = new Map<string, number>();
  readonly #queue = new FairQueue<Item>({ costOf: ({ tenant }) => tenant.size, quantum: 64 * 1024 });
  #batch: Item[] = [];
  #doneAt = 0;
  #waitedMs = 0;

  constructor(options: DoorOptions) {
    const { tenants, clock } = options;
    this.#options = options;
    this.#capacity = new Capacity({ clock, costMax: COST_MAX });
    this.#quotas = new Map(tenants.map(({ id, quota }) => [id, new TenantQuota({ events: quota }, clock)]));
  }

  get cost(): number {
    return this.#capacity.cost;
  }

  arrive(): void {
    const { tenants, clock, tallies, halfMs } = this.#options;
    if (clock.at === halfMs)
      for (const [id, cost] of this.#capacity.costs()) (tallies.get(id) as QosTally).passed += cost;
    for (const tenant of tenants) {
      const due = (this.#credit.get(tenant.id) ?? 0) + (tenant.perSecond / 1_000) * 2 * this.#options.random();
      const events = Math.floor(due / tenant.size);
      this.#credit.set(tenant.id, due - events * tenant.size);
      for (let n = 0; n < events; n++) this.#request(tenant);
    }
  }

  #request(tenant: QosTenant): void {
    const { clock, tallies, halfMs } = this.#options;
    const tally = tallies.get(tenant.id) as QosTally;
    const quota = this.#quotas.get(tenant.id) as TenantQuota;
    const counts = clock.at >= halfMs;
    if (quota.enter(tenant.size) !== undefined) return;
    if (counts) tally.passed += tenant.size;
    tally.passedAt.push(clock.at);
    quota.leave();
    if (!this.#capacity.admits(tenant.id, tenant.weight)) {
      if (counts) tally.shed += 1;
      return;
    }
    tally.accepted += 1;
    this.#capacity.enter(tenant.id, tenant.weight, tenant.size);
    this.#queue.push(tenant.id, { tenant, at: clock.at }, tenant.weight);
  }

  /** What has become durable in this step. */
  commit(): readonly Item[] {
    const { clock } = this.#options;
    if (clock.at < this.#doneAt) return [];
    const done = this.#batch;
    this.#batch = [];
    if (done.length > 0) this.#finish(done);
    let cost = 0;
    for (let item = this.#queue.take(COMMIT_MAX); item !== undefined; item = this.#queue.take(COMMIT_MAX - cost)) {
      this.#batch.push(item);
      cost += item.tenant.size;
    }
    const first = Math.min(clock.at, ...this.#batch.map(({ at }) => at));
    this.#waitedMs = clock.at - first;
    if (this.#batch.length > 0) this.#doneAt = clock.at + SYNC_MS + (cost / SERVICE) * 1_000;
    return done;
  }

  #finish(batch: readonly Item[]): void {
    const { clock, tallies, halfMs } = this.#options;
    let cost = 0;
    for (const { tenant } of batch) {
      cost += tenant.size;
      this.#capacity.leave(tenant.id, tenant.size);
      if (clock.at >= halfMs && clock.at < 2 * halfMs) (tallies.get(tenant.id) as QosTally).stored += tenant.size;
    }
    this.#capacity.committed({ cost, waitSeconds: this.#waitedMs / 1_000, syncSeconds: SYNC_MS / 1_000 });
  }
}

interface LaneOptions {
  readonly tenant: QosTenant;
  readonly clock: StepClock;
  readonly turns: LiveTurns;
  readonly random: Random;
  readonly tally: QosTally;
}

/** A lane that asks its breaker and then for its turn, one delivery at a time. */
class SimLane {
  readonly #options: LaneOptions;
  readonly #breaker: Breaker;
  #waiting: number[] = [];
  #isOut = false;

  constructor(options: LaneOptions) {
    this.#options = options;
    const { random } = options;
    const times = { coolMinMs: 100, coolMaxMs: 2_000, probeMinMs: 250, probeMaxMs: 2_000 };
    this.#breaker = new Breaker({ random, failuresToOpen: 3, ...times });
  }

  push(at: number): void {
    this.#waiting.push(at);
    this.resume();
  }

  resume(): void {
    const { tenant, turns, clock } = this.#options;
    if (this.#isOut || this.#waiting.length === 0) return;
    const events = Math.min(BATCH, this.#waiting.length);
    const cost = Math.ceil(events * (1 + tenant.size / 1_024));
    if (!turns.take(this, { tenantId: tenant.id, weight: tenant.weight, cost })) return;
    const permit = this.#breaker.permit(clock.at);
    if (typeof permit === "object") {
      this.#isOut = true;
      clock.after(Math.min(permit.waitUntil - clock.at, 1_000), () => this.#goOn());
      return;
    }
    this.#isOut = true;
    const count = permit === "probe" ? 1 : events;
    clock.after(SINK_MS, () => this.#answered(count));
  }

  #answered(count: number): void {
    const { tenant, clock, tally } = this.#options;
    const { outage } = tenant;
    if (outage !== undefined && clock.at >= outage.from && clock.at < outage.to) {
      tally.sentWhileDown += count;
      this.#breaker.failed(clock.at, { unavailable: false, retryAfterMs: 0 });
    } else {
      this.#breaker.alive();
      const hasBeenDown = outage !== undefined && clock.at >= outage.to;
      if (hasBeenDown) tally.backAfterMs ??= clock.at - outage.to;
      for (const at of this.#waiting.splice(0, count)) {
        tally.delivered += 1;
        if (outage === undefined) tally.deliveryMaxMs = Math.max(tally.deliveryMaxMs, clock.at - at);
      }
    }
    this.#goOn();
  }

  #goOn(): void {
    this.#isOut = false;
    this.resume();
  }
}
