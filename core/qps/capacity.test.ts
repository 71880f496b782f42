import { describe, expect, it } from "vitest";
import { seededRandom } from "../../tests/helpers/sim-clock.ts";
import { Capacity } from "./capacity.ts";
import { FairQueue } from "./fair-queue.ts";

interface Sender {
  readonly id: string;
  readonly weight: number;
  /** Cost that it sends per second, whatever it is answered. */
  readonly perSecond: number;
  readonly size: number;
}

interface Tally {
  offered: number;
  stored: number;
  refused: number;
  waitMax: number;
}

/** What the log takes per second. */
const SERVICE = 100e6;
const COMMIT_MAX = 4 * 1024 * 1024;
const COST_MAX = 128 * 1024 * 1024;
const SYNC_SECONDS = 0.001;

/** A door before a log that takes `SERVICE`, for so many seconds, a step per millisecond; tallies of its second half. */
function simulate(senders: readonly Sender[], seconds: number, seed: number) {
  let now = 0;
  const random = seededRandom(seed);
  const clock = { now: () => now, monotonic: () => now, sleep: () => Promise.resolve() };
  const capacity = new Capacity({ clock, costMax: COST_MAX });
  const queue = new FairQueue<{ sender: Sender; at: number }>({
    costOf: ({ sender }) => sender.size,
    quantum: 64 * 1024,
  });
  const tallies = new Map<string, Tally>(
    senders.map(({ id }) => [id, { offered: 0, stored: 0, refused: 0, waitMax: 0 }]),
  );
  const credit = new Map(senders.map(({ id }) => [id, 0]));
  let batch: { sender: Sender; at: number }[] = [];
  let doneAt = 0;
  let waited = 0;
  let costPeak = 0;
  for (; now < seconds * 1000; now++) {
    const counts = now >= seconds * 500;
    if (batch.length > 0 && now >= doneAt) {
      for (const { sender, at } of batch) {
        capacity.leave(sender.id, sender.size);
        const tally = tallies.get(sender.id) as Tally;
        if (counts) tally.stored += sender.size;
        if (counts) tally.waitMax = Math.max(tally.waitMax, now - at);
      }
      const cost = batch.reduce((sum, { sender }) => sum + sender.size, 0);
      capacity.committed({ cost, waitSeconds: waited, syncSeconds: SYNC_SECONDS });
      batch = [];
    }
    for (const sender of senders) {
      const due = (credit.get(sender.id) ?? 0) + (sender.perSecond / 1000) * 2 * random();
      const events = Math.floor(due / sender.size);
      credit.set(sender.id, due - events * sender.size);
      for (let i = 0; i < events; i++) {
        const tally = tallies.get(sender.id) as Tally;
        if (counts) tally.offered += sender.size;
        if (capacity.admits(sender.id, sender.weight)) {
          capacity.enter(sender.id, sender.weight, sender.size);
          queue.push(sender.id, { sender, at: now }, sender.weight);
        } else if (counts) tally.refused += sender.size;
      }
    }
    costPeak = Math.max(costPeak, capacity.cost);
    if (batch.length > 0 || queue.size === 0) continue;
    let cost = 0;
    let first = now;
    for (let item = queue.take(COMMIT_MAX); item !== undefined; item = queue.take(COMMIT_MAX - cost)) {
      batch.push(item);
      cost += item.sender.size;
      first = Math.min(first, item.at);
    }
    waited = (now - first) / 1000;
    doneAt = now + 1000 * (SYNC_SECONDS + cost / SERVICE);
  }
  return {
    tallies,
    costPeak,
    limit: capacity.limit,
    of: (id: string) => tallies.get(id) as Tally,
    seconds: seconds / 2,
  };
}

const sender = (id: string, share: number, size = 2048, weight = 1): Sender => ({
  id,
  weight,
  perSecond: SERVICE * share,
  size,
});
const SEEDS = Array.from({ length: 20 }, (_, seed) => seed + 1);

describe("the door at capacity", () => {
  it("refuses nobody while the log keeps up", () => {
    const { of, limit } = simulate([sender("a", 0.4), sender("b", 0.4)], 4, 1);
    expect([of("a").refused, of("b").refused]).toEqual([0, 0]);
    expect(limit).toBe(COST_MAX);
  });

  it.each([3, 10])("keeps its goodput and a short queue at %i times what it can do", (overload) => {
    for (const seed of SEEDS) {
      const { of, seconds, costPeak } = simulate([sender("flood", overload)], 4, seed);
      expect(of("flood").stored / seconds / SERVICE).toBeGreaterThan(0.9);
      expect(of("flood").waitMax).toBeLessThan(1000);
      expect(costPeak).toBeLessThanOrEqual(COST_MAX + 4096);
    }
  });

  it("refuses nothing to a tenant under its share, whoever floods beside it, and lets it wait little", () => {
    for (const seed of SEEDS) {
      const floods = [sender("small", 5), sender("large", 5, 64 * 1024), sender("tiny", 2, 1200)];
      const { of } = simulate([sender("calm", 0.1), ...floods], 4, seed);
      expect(of("calm").refused).toBe(0);
      expect(of("calm").stored / of("calm").offered).toBeGreaterThan(0.97);
      expect(of("calm").waitMax).toBeLessThan(150);
    }
  });

  it("gives large events and small ones the same share, whatever tenants beside them leave of theirs", () => {
    for (const seed of SEEDS) {
      const calm = [sender("calm", 0.02, 32 * 1024, 4), sender("calmer", 0.02, 2048, 4)];
      const { of } = simulate([sender("small", 2), sender("large", 0.7, 256 * 1024), ...calm], 4, seed);
      expect(Math.abs(of("large").stored / of("small").stored - 1)).toBeLessThan(0.04);
    }
  });

  it("leaves to the others what a tenant does not need of its share", () => {
    const clock = { now: () => 0, monotonic: () => 0, sleep: () => Promise.resolve() };
    const capacity = new Capacity({ clock, costMax: 1_000 });
    capacity.enter("calm", 8, 100);
    capacity.enter("flood", 1, 700);
    capacity.enter("other", 1, 200);
    // Each of the two may have 450, not the tenth that its weight is among all.
    expect([capacity.admits("other", 1), capacity.admits("flood", 1)]).toEqual([true, false]);
    capacity.enter("other", 1, 260);
    expect([capacity.admits("other", 1), capacity.admits("calm", 8)]).toEqual([false, true]);
  });

  it("gives equal tenants equal shares", () => {
    for (const seed of SEEDS) {
      const { tallies } = simulate(
        ["a", "b", "c", "d"].map((id, i) => sender(id, 1 + i)),
        4,
        seed,
      );
      expect(jain([...tallies.values()].map(({ stored }) => stored))).toBeGreaterThan(0.98);
    }
  });

  it("gives tenants shares by their weights, within two in a hundred", () => {
    for (const seed of SEEDS) {
      const weights = [1, 2, 5];
      const { tallies } = simulate(
        weights.map((weight) => sender(`w${weight}`, 2, 2048, weight)),
        6,
        seed,
      );
      const stored = [...tallies.values()].map((tally) => tally.stored);
      const all = stored.reduce((sum, one) => sum + one, 0);
      for (const [i, weight] of weights.entries())
        expect(Math.abs((stored[i] ?? 0) / all - weight / 8)).toBeLessThan(0.02);
    }
  });

  it("lets in less while memory is short, never nothing, and all again when it is not", () => {
    let now = 0;
    let room = Number.POSITIVE_INFINITY;
    const clock = { now: () => now, monotonic: () => now, sleep: () => Promise.resolve() };
    const capacity = new Capacity({ clock, costMax: COST_MAX, roomBytes: () => room });
    const limitWith = (bytes: number): number => {
      room = bytes;
      now += 200;
      capacity.committed({ cost: 1e6, waitSeconds: 0, syncSeconds: 0.001 });
      return capacity.limit;
    };
    capacity.enter("flood", 1, 1024);
    expect(limitWith(COST_MAX)).toBe(COST_MAX / 4 + 1024);
    expect(limitWith(-1e9)).toBe(COST_MAX / 16);
    capacity.enter("flood", 1, COST_MAX / 16);
    expect([capacity.admits("flood", 1), capacity.admits("calm", 1)]).toEqual([false, true]);
    expect(limitWith(8 * COST_MAX)).toBe(COST_MAX);
  });

  it("comes back to its full limit when the flood is over", () => {
    let now = 0;
    const clock = { now: () => now, monotonic: () => now, sleep: () => Promise.resolve() };
    const capacity = new Capacity({ clock, costMax: COST_MAX });
    capacity.enter("flood", 1, COST_MAX);
    for (; now < 2000; now += 50) capacity.committed({ cost: 1e6, waitSeconds: 1, syncSeconds: 0.001 });
    expect(capacity.limit).toBe(COST_MAX / 4);
    expect(capacity.admits("flood", 1)).toBe(false);
    capacity.leave("flood", COST_MAX);
    for (; now < 3000; now += 50) capacity.committed({ cost: 1e6, waitSeconds: 0, syncSeconds: 0.001 });
    expect(capacity.limit).toBe(COST_MAX);
  });
});

/** 1 when all are equal, 1/n when one has all. */
function jain(values: readonly number[]): number {
  const sum = values.reduce((total, value) => total + value, 0);
  return sum ** 2 / (values.length * values.reduce((total, value) => total + value ** 2, 0));
}
