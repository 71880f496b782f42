import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { CanonicalEvent } from "../canonical/event.ts";
import type { Slot } from "./lane-slot.ts";
import { LaneWindow } from "./lane-window.ts";
import type { DeadLetter, LogEntry } from "./log.ts";
import { settlementOf } from "./settle.ts";

const LIMITS = { eventsMax: 100, bytesMax: 1_000 };
const EVENT = {} as CanonicalEvent;

function entries(from: number, to: number, bytes = 10): LogEntry[] {
  return Array.from({ length: to - from }, (_, i) => ({
    sequence: from + i,
    receivedAt: from + i,
    bytes: Buffer.alloc(bytes),
  }));
}

function windowWith(
  count: number,
  options: { cursor?: number; eventsMax?: number; bytesMax?: number } = {},
): LaneWindow {
  const { cursor = 0, eventsMax = 1_000, bytesMax = 1_000_000 } = options;
  const window = new LaneWindow({ cursor, eventsMax, bytesMax });
  window.push(entries(cursor, cursor + count), { from: cursor, readAt: 0 });
  for (const slot of window.takeFresh(count)) window.prepared(slot, EVENT, slot.bytes.length);
  return window;
}

const sequences = (slots: readonly Slot[]) => slots.map((slot) => slot.sequence);

describe("a lane's window", () => {
  it("gives out events in order, within the limits of a batch", () => {
    const window = windowWith(30);
    expect(sequences(window.takeBatch({ eventsMax: 4, bytesMax: 1_000 }))).toEqual([0, 1, 2, 3]);
    expect(sequences(window.takeBatch({ eventsMax: 100, bytesMax: 35 }))).toEqual([4, 5, 6]);
    expect(sequences(window.takeBatch({ eventsMax: 100, bytesMax: 1 }))).toEqual([7]);
  });

  it("collects only the contiguous settled prefix", () => {
    const window = windowWith(4);
    const [first, second, third] = window.takeBatch(LIMITS) as [Slot, Slot, Slot, Slot];
    window.settle(second, { type: "delivered" });
    window.settle(third, { type: "delivered" });
    expect(window.collect()).toEqual([]);
    window.settle(first, { type: "delivered" });
    expect(sequences(window.collect())).toEqual([0, 1, 2]);
  });

  it("lets later events go on while one waits to be tried again", () => {
    const window = windowWith(3);
    const [first] = window.takeBatch({ ...LIMITS, eventsMax: 1 }) as [Slot];
    window.retryAt(first, 500);
    expect(sequences(window.takeBatch(LIMITS))).toEqual([1, 2]);
    window.wakeDue(499);
    expect(window.takeBatch(LIMITS)).toEqual([]);
    expect(window.nextDueAt()).toBe(500);
    window.wakeDue(500);
    expect(sequences(window.takeBatch(LIMITS))).toEqual([0]);
    expect(window.nextDueAt()).toBeUndefined();
  });

  it("keeps an event apart from more than it may be sent with", () => {
    const window = windowWith(5);
    const slots = window.takeBatch(LIMITS) as [Slot, Slot, Slot, Slot, Slot];
    slots[0].togetherMax = 2;
    slots[1].togetherMax = 2;
    slots[3].togetherMax = 1;
    for (const slot of slots) window.giveBack(slot);
    expect(sequences(window.takeBatch(LIMITS))).toEqual([0, 1]);
    expect(sequences(window.takeBatch(LIMITS))).toEqual([2]);
    expect(sequences(window.takeBatch(LIMITS))).toEqual([3]);
    expect(sequences(window.takeBatch(LIMITS))).toEqual([4]);
  });

  it("counts what is collected towards its size until that is committed", () => {
    const window = windowWith(10, { eventsMax: 10 });
    expect(window.room().entries).toBe(0);
    for (const slot of window.takeBatch(LIMITS)) window.settle(slot, { type: "delivered" });
    expect(window.bytes).toBe(0);
    const prefix = window.collect();
    expect(window.room().entries).toBe(0);
    window.committed(prefix);
    expect(window.room().entries).toBe(10);
  });

  it("holds the bytes of a dead event until it is committed", () => {
    const window = windowWith(1);
    const [slot] = window.takeBatch(LIMITS) as [Slot];
    window.settle(slot, { type: "dead", deadLetter: {} as DeadLetter });
    expect(window.bytes).toBe(10);
    window.committed(window.collect());
    expect(window.bytes).toBe(0);
  });

  it("settles what is missing from the log as erased", () => {
    const window = new LaneWindow({ cursor: 5, eventsMax: 100, bytesMax: 1_000 });
    expect(window.push([...entries(9, 11)], { from: window.nextRead, readAt: 0 })).toBe(4);
    const [hole] = window.collect() as [Slot];
    const { settlement, delivered } = settlementOf([hole], { configRevision: 1, settledAt: 7 });
    expect(settlement).toEqual({
      from: 5,
      to: 9,
      exceptions: [{ from: 5, to: 9, outcome: "erased" }],
      configRevision: 1,
      settledAt: 7,
    });
    expect(delivered).toBe(0);
    expect(window.nextRead).toBe(11);
  });

  it("sheds untouched events from its end, and reads them again", () => {
    const window = windowWith(10);
    const [touched] = window.takeBatch({ ...LIMITS, eventsMax: 1 }) as [Slot];
    touched.tries = 1;
    window.giveBack(touched);
    window.shed(3);
    expect(window.nextRead).toBe(3);
    expect(window.bytes).toBe(30);
    window.push(entries(3, 5), { from: 3, readAt: 0 });
    for (const slot of window.takeFresh(9)) window.prepared(slot, EVENT, 1);
    expect(new Set(sequences(window.takeBatch(LIMITS)))).toEqual(new Set([0, 1, 2, 3, 4]));
  });

  it("takes no answer of before a shed for a hole: what was shed is read again, not erased", () => {
    const window = windowWith(10);
    const from = window.nextRead;
    window.shed(3);
    expect(window.push(entries(10, 12), { from, readAt: 0 })).toBe(0);
    expect(window.nextRead).toBe(3);
    expect(window.collect()).toEqual([]);
    window.push(entries(3, 12), { from: 3, readAt: 0 });
    expect(sequences(window.takeFresh(20))).toEqual([3, 4, 5, 6, 7, 8, 9, 10, 11]);
  });

  it("probes with events that never failed first, then in turn", () => {
    const window = windowWith(2);
    for (const slot of window.takeBatch(LIMITS)) {
      slot.tries = 1;
      window.giveBack(slot);
    }
    window.push(entries(2, 4), { from: 2, readAt: 0 });
    for (const slot of window.takeFresh(2)) window.prepared(slot, EVENT, 10);
    const probes: number[] = [];
    for (let i = 0; i < 8; i++) {
      const [probe] = window.takeProbe() as [Slot];
      probes.push(probe.sequence);
      probe.tries += 1;
      window.giveBack(probe);
    }
    expect(probes.slice(0, 2)).toEqual([2, 3]);
    expect(new Set(probes.slice(4))).toEqual(new Set([0, 1, 2, 3]));
    expect(window.untried).toBe(0);
  });

  it("asks for a witness only when all that is left has failed, and some of it without a sign of life since", () => {
    const window = windowWith(2);
    const [first, second] = window.takeBatch(LIMITS) as [Slot, Slot];
    for (const slot of [first, second]) slot.tries = 1;
    expect(window.needsWitness(0)).toBe(false);
    window.giveBack(first);
    window.retryAt(second, 100);
    expect(window.needsWitness(0)).toBe(false);
    second.failedAloneAt = 7;
    expect([window.needsWitness(7), window.needsWitness(8)]).toEqual([true, false]);
    window.push(entries(2, 3), { from: 2, readAt: 0 });
    expect(window.needsWitness(7)).toBe(false);
  });

  it("never lets the cursor pass an unsettled event, and loses none, whatever the interleaving", () => {
    const step = fc.record({
      kind: fc.integer({ min: 0, max: 9 }),
      pick: fc.nat(),
      amount: fc.integer({ min: 1, max: 8 }),
    });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 200 }), fc.nat({ max: 50 }), (steps, cursor) => {
        const model = new WindowModel(cursor);
        for (const action of steps) model.act(action);
        model.drain();
        expect(model.committedTo).toBe(model.end);
        expect(model.window.size).toBe(0);
        expect(model.window.bytes).toBe(0);
      }),
      { numRuns: 300 },
    );
  });
});

/** Drives a window at random and checks each commit against what was really settled. */
class WindowModel {
  readonly window: LaneWindow;
  committedTo: number;
  end: number;
  #now = 0;
  #preparing: Slot[] = [];
  #sending: Slot[] = [];
  #collected: Slot[] = [];
  readonly #settled = new Set<number>();

  constructor(cursor: number) {
    this.window = new LaneWindow({ cursor, eventsMax: 40, bytesMax: 400 });
    this.committedTo = cursor;
    this.end = cursor;
  }

  act({ kind, pick, amount }: { readonly kind: number; readonly pick: number; readonly amount: number }): void {
    if (kind <= 1) this.#read(amount);
    else if (kind === 2) this.#preparing.push(...this.window.takeFresh(amount));
    else if (kind === 3) this.#prepare(pick);
    else if (kind === 4) this.#sending.push(...this.window.takeBatch({ eventsMax: amount, bytesMax: 60 }));
    else if (kind <= 6) this.#finish(pick);
    else if (kind === 7) this.#commit();
    else if (kind === 8) this.window.shed(amount * 4);
    else this.#tick(amount);
  }

  /** Everything that is open is settled in the end. */
  drain(): void {
    for (let round = 0; round < 1_000 && this.committedTo < this.end; round++) {
      this.#tick(1_000);
      this.#preparing.push(...this.window.takeFresh(100));
      for (const slot of this.#preparing.splice(0)) this.window.prepared(slot, EVENT, 10);
      this.#sending.push(...this.window.takeBatch(LIMITS));
      for (const slot of this.#sending.splice(0)) this.#settle(slot);
      this.#commit();
      this.#commit();
      if (this.window.nextRead < this.end)
        this.window.push(entries(this.window.nextRead, this.end).slice(0, 40), {
          from: this.window.nextRead,
          readAt: 0,
        });
    }
  }

  #read(amount: number): void {
    const room = Math.min(amount, this.window.room().entries);
    if (room <= 0) return;
    this.window.push(entries(this.window.nextRead, this.window.nextRead + room), {
      from: this.window.nextRead,
      readAt: this.#now,
    });
    this.end = Math.max(this.end, this.window.nextRead);
  }

  #prepare(pick: number): void {
    const slot = take(this.#preparing, pick);
    if (slot === undefined) return;
    if (pick % 7 === 0) this.window.retryAt(slot, this.#now + 5);
    else if (pick % 11 === 0) this.window.giveBack(slot);
    else this.window.prepared(slot, EVENT, 10);
  }

  #finish(pick: number): void {
    const slot = take(this.#sending, pick);
    if (slot === undefined) return;
    slot.tries += 1;
    if (pick % 3 === 0) this.window.retryAt(slot, this.#now + (pick % 20));
    else if (pick % 5 === 0) this.window.giveBack(slot);
    else this.#settle(slot);
  }

  #settle(slot: Slot): void {
    if (this.#settled.has(slot.sequence)) throw new Error(`${slot.sequence} was given out after it settled`);
    this.#settled.add(slot.sequence);
    this.window.settle(slot, { type: "delivered" });
  }

  #commit(): void {
    if (this.#collected.length > 0) {
      this.window.committed(this.#collected);
      this.#collected = [];
      return;
    }
    this.#collected = this.window.collect();
    for (const slot of this.#collected) {
      if (slot.sequence !== this.committedTo)
        throw new Error(`${slot.sequence} follows ${this.committedTo} in a commit`);
      if (!this.#settled.has(slot.sequence)) throw new Error(`${slot.sequence} is committed and not settled`);
      this.committedTo = slot.to;
    }
  }

  #tick(ms: number): void {
    this.#now += ms;
    this.window.wakeDue(this.#now);
  }
}

function take(slots: Slot[], pick: number): Slot | undefined {
  return slots.length === 0 ? undefined : slots.splice(pick % slots.length, 1)[0];
}
