import { expect, it } from "vitest";
import type { Slot, SlotOutcome } from "./lane-slot.ts";
import type { DeadLetter } from "./log.ts";
import { settlementOf } from "./settle.ts";

const STAMP = { configRevision: 3, settledAt: 99 };
const dead = (eventId: string): SlotOutcome => ({ type: "dead", deadLetter: { eventId } as DeadLetter });
const filtered = (reason: string): SlotOutcome => ({ type: "filtered", reason });

function prefix(from: number, outcomes: readonly SlotOutcome[]): Slot[] {
  return outcomes.map((outcome, i) => ({ sequence: from + i, to: from + i + 1, outcome }) as Slot);
}

it("records a batch that was delivered whole as a range alone", () => {
  const settled = settlementOf(
    prefix(
      10,
      Array.from({ length: 500 }, () => ({ type: "delivered" })),
    ),
    STAMP,
  );
  expect(settled.settlement).toEqual({ from: 10, to: 510, exceptions: [], ...STAMP });
  expect(settled).toMatchObject({ delivered: 500, filtered: 0, dead: 0, deadLetters: [] });
});

it("records exceptions in runs of one outcome and reason", () => {
  const outcomes: SlotOutcome[] = [
    filtered("bot: crawler"),
    filtered("bot: crawler"),
    filtered("bot: probe"),
    { type: "delivered" },
    dead("a"),
    dead("b"),
    { type: "delivered" },
    filtered("bot: probe"),
  ];
  const settled = settlementOf(prefix(0, outcomes), STAMP);
  expect(settled.settlement.exceptions).toEqual([
    { from: 0, to: 2, outcome: "filtered", reason: "bot: crawler" },
    { from: 2, to: 3, outcome: "filtered", reason: "bot: probe" },
    { from: 4, to: 6, outcome: "dead" },
    { from: 7, to: 8, outcome: "filtered", reason: "bot: probe" },
  ]);
  expect(settled).toMatchObject({ delivered: 2, filtered: 4, dead: 2 });
  expect(settled.deadLetters.map((letter) => letter.eventId)).toEqual(["a", "b"]);
});
