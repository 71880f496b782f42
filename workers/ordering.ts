import { type KeyOf, payloadKey } from "../core/canonical/payload-key.ts";
import type { Slot } from "../core/ingestion/lane-slot.ts";
import type { LaneWindow } from "../core/ingestion/lane-window.ts";
import type { Ordering, SinkUse } from "../core/ingestion/revision.ts";
import type { SinkPlugin } from "../plugins/contract.ts";
import { isAlive, type Verdict } from "./delivery.ts";
import { FEW } from "./lane-limits.ts";

/** By what a lane keeps events in order; undefined: not at all. */
export function keyOfOrdering(ordering: Ordering | undefined): KeyOf | undefined {
  if (ordering === undefined) return undefined;
  return ordering === "stream" ? () => "" : payloadKey(ordering.key);
}

/** Whether one delivery may hold several events of one key. */
export function takesFollowers(ordering: Ordering | undefined, sink: SinkPlugin | undefined): boolean {
  return ordering !== undefined && sink?.sendBatch !== undefined && sink.keepsOrder === true;
}

/**
 * The verdicts that count: what became of an event behind one of its key that is to come again does not,
 * not even that it was taken; it comes again, too.
 */
export function verdictsInOrder(
  slots: readonly Slot[],
  verdicts: readonly (Verdict | undefined)[],
): readonly (Verdict | undefined)[] {
  let held: Set<string> | undefined;
  return slots.map(({ key }, i) => {
    const verdict = verdicts[i];
    if (key === undefined) return verdict;
    if (held?.has(key) === true) return undefined;
    if (!isAlive(verdict)) (held ??= new Set()).add(key);
    return verdict;
  });
}

/**
 * Whether the lane is full of events that wait behind failing ones of their keys, so that no other can be
 * tried to tell whether the target works.
 */
export function isCrowded(window: LaneWindow, { windowEvents }: Pick<SinkUse, "windowEvents">): boolean {
  return window.count("parked") > 0 && window.unsettled >= windowEvents + FEW && window.holdsOnlyProven;
}
