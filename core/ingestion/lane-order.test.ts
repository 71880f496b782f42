import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { CanonicalEvent } from "../canonical/event.ts";
import type { Slot } from "./lane-slot.ts";
import { LaneWindow } from "./lane-window.ts";

const EVENT = {} as CanonicalEvent;
const ALONE = { eventsMax: 100, bytesMax: 1_000_000 };
const TOGETHER = { ...ALONE, followers: true };

/** Events whose key is their byte; `-` is for those without. */
function windowOf(keys: string, { isPrepared = true } = {}): LaneWindow {
  const window = new LaneWindow({
    cursor: 0,
    eventsMax: 1_000,
    bytesMax: 1_000_000,
    keyOf: (bytes) => (bytes.toString() === "-" ? undefined : bytes.toString()),
  });
  const entries = keys.split("").map((key, sequence) => ({ sequence, receivedAt: 0, bytes: Buffer.from(key) }));
  window.push(entries, { from: 0, readAt: 0 });
  if (isPrepared) for (const slot of window.takeFresh(keys.length)) window.prepared(slot, EVENT, 1);
  return window;
}

const sequences = (slots: readonly Slot[]) => slots.map((slot) => slot.sequence);
const deliver = (window: LaneWindow, slot: Slot | undefined) => window.settle(slot as Slot, { type: "delivered" });

describe("a window that keeps keys in order", () => {
  it("gives out one event of each key at a time, and those without a key as they come", () => {
    const window = windowOf("aab-a-");
    const batch = window.takeBatch(ALONE);
    expect(sequences(batch)).toEqual([0, 2, 3, 5]);
    expect(window.takeBatch(ALONE)).toEqual([]);
    deliver(window, batch[0]);
    expect(sequences(window.takeBatch(ALONE))).toEqual([1]);
  });

  it("gives out a whole key in one batch, its events in order, where the sink keeps it", () => {
    const window = windowOf("aabab");
    expect(sequences(window.takeBatch({ ...TOGETHER, eventsMax: 4 }))).toEqual([0, 2, 1, 4]);
    // The last one waits for those that are out.
    expect(window.takeBatch(TOGETHER)).toEqual([]);
    expect(window.count("parked")).toBe(1);
  });

  it("parks a failing key alone, until its event is settled", () => {
    const window = windowOf("abab");
    const [failing, other] = window.takeBatch(ALONE) as [Slot, Slot];
    window.retryAt(failing, 500);
    deliver(window, other);
    expect(sequences(window.takeBatch(ALONE))).toEqual([3]);
    expect(window.count("parked")).toBe(1);
    window.wakeDue(500);
    expect(sequences(window.takeBatch(ALONE))).toEqual([0]);
    deliver(window, failing);
    expect(sequences(window.takeBatch(ALONE))).toEqual([2]);
  });

  it("holds what is ready behind an event that is still in the transforms", () => {
    const window = windowOf("aa", { isPrepared: false });
    const [first, second] = window.takeFresh(2) as [Slot, Slot];
    window.prepared(second, EVENT, 1);
    expect(window.takeBatch(TOGETHER)).toEqual([]);
    window.settle(first, { type: "filtered", reason: "no" });
    expect(sequences(window.takeBatch(TOGETHER))).toEqual([1]);
  });

  it("closes the gap when one in the middle is filtered", () => {
    const window = windowOf("aaa", { isPrepared: false });
    const [first, second, third] = window.takeFresh(3) as [Slot, Slot, Slot];
    window.settle(second, { type: "filtered", reason: "no" });
    window.prepared(first, EVENT, 1);
    window.prepared(third, EVENT, 1);
    expect(sequences(window.takeBatch(ALONE))).toEqual([0]);
    deliver(window, first);
    expect(sequences(window.takeBatch(ALONE))).toEqual([2]);
  });

  it("gives up parked events while the sink is out, and reads them again behind the others", () => {
    const window = windowOf("aaaa");
    const [failing] = window.takeBatch(ALONE) as [Slot];
    failing.tries = 1;
    window.giveBack(failing);
    window.shed(2);
    expect(window.nextRead).toBe(2);
    window.push([{ sequence: 2, receivedAt: 0, bytes: Buffer.from("a") }], { from: 2, readAt: 0 });
    expect(window.unsettled).toBe(3);
    for (const sequence of [0, 1]) {
      const batch = window.takeBatch(ALONE);
      expect(sequences(batch)).toEqual([sequence]);
      deliver(window, batch[0]);
    }
  });

  it("does not give up what was read in search of a witness: the search would never end", () => {
    const window = windowOf("aa");
    const [failing] = window.takeBatch(ALONE) as [Slot];
    failing.tries = 1;
    failing.failedAloneAt = 0;
    window.giveBack(failing);
    expect(window.needsWitness(0)).toBe(true);
    window.seekWitness();
    window.push([{ sequence: 2, receivedAt: 0, bytes: Buffer.from("a") }], { from: 2, readAt: 0 });
    for (const slot of window.takeFresh(1)) window.prepared(slot, EVENT, 1);
    window.shed(1);
    expect(window.nextRead).toBe(3);
    expect(window.needsWitness(0)).toBe(true);
  });

  it("keeps every key in order and loses nothing, whatever becomes of batches", () => {
    const step = fc.record({ fate: fc.constantFrom("deliver", "dead", "retry", "give back"), eventsMax: fc.nat(5) });
    const arbitrary = fc.tuple(fc.stringMatching(/^[abc-]{1,40}$/), fc.boolean(), fc.array(step, { minLength: 1 }));
    fc.assert(
      fc.property(arbitrary, ([keys, followers, steps]) => {
        const window = windowOf(keys);
        const settled = new Set<number>();
        for (let round = 0; settled.size < keys.length; round++) {
          expect(round).toBeLessThan(10_000);
          const { fate, eventsMax } = steps[round % steps.length] as (typeof steps)[number];
          window.wakeDue(round);
          const batch = window.takeBatch({ eventsMax: eventsMax + 1, bytesMax: 1_000, followers });
          checkBatch(batch, { keys, settled, followers });
          batch.forEach((slot, i) => {
            slot.tries += 1;
            // In the end all goes well, and nothing comes for ever.
            if (fate === "deliver" || slot.tries > 5 || (fate === "dead" && i === 0)) {
              deliver(window, slot);
              settled.add(slot.sequence);
            } else if (fate === "retry") window.retryAt(slot, round + 3);
            else window.giveBack(slot);
          });
        }
        expect(sequences(window.collect())).toEqual(keys.split("").map((_, i) => i));
      }),
    );
  });
});

/** All earlier events of an event's key are settled, or stand before it in its batch. */
function checkBatch(
  batch: readonly Slot[],
  { keys, settled, followers }: { keys: string; settled: ReadonlySet<number>; followers: boolean },
): void {
  batch.forEach(({ sequence }, i) => {
    const key = keys[sequence];
    const before = followers ? new Set(sequences(batch.slice(0, i))) : new Set<number>();
    const missing = keys.split("").findIndex((other, at) => {
      return at < sequence && key !== "-" && other === key && !settled.has(at) && !before.has(at);
    });
    expect(missing).toBe(-1);
  });
}
