import { expect, it } from "vitest";
import { type Answer, History, type LedgerLine, type Observed, type ViolationKind, checkHistory } from "./history.ts";

const ACKED = (position: number): Answer => ({ type: "acked", position: `t/0/${position}` });
const UNKNOWN: Answer = { type: "unknown" };
const REFUSED: Answer = { type: "refused", status: 422 };

/** A run in which all went well: a and b acked, c acked and dead, d and e unknown, f refused. */
function goodRun(): { history: History; observed: Observed } {
  const history = new History();
  history.record({ eventId: "a", content: "A" }, ACKED(0));
  history.record({ eventId: "b", content: "B" }, UNKNOWN);
  history.record({ eventId: "b", content: "B" }, ACKED(1));
  history.record({ eventId: "b", content: "other" }, REFUSED);
  history.record({ eventId: "c", content: "C" }, ACKED(2));
  history.record({ eventId: "d", content: "D" }, UNKNOWN);
  history.record({ eventId: "e", content: "E" }, UNKNOWN);
  history.record({ eventId: "f", content: "F" }, REFUSED);
  const rows = ["a", "b", "d"].map((id) => ({ eventId: id, content: id.toUpperCase() }));
  return { history, observed: { rows, deadLetters: [{ eventId: "c" }], ledger: [LEDGER] } };
}

const LEDGER: LedgerLine = {
  lane: "t/0/raw",
  start: 0,
  cursor: 4,
  end: 4,
  delivered: 3,
  filtered: 0,
  dead: 1,
  erased: 0,
};

it("accepts a run in which every promise was kept", () => {
  const { history, observed } = goodRun();
  expect(checkHistory(history, observed)).toEqual([]);
  expect(history.counts).toEqual({ sent: 8, acked: 3, refused: 2, unknown: 3 });
});

const PLANTED: [ViolationKind[], string, (observed: Observed, history: History) => Observed][] = [
  [["lost", "ledger_disagrees"], "an acked event that is nowhere", (seen) => ({ ...seen, rows: without(seen, "a") })],
  [["lost", "ledger_disagrees"], "an acked dead letter that is nowhere", (seen) => ({ ...seen, deadLetters: [] })],
  [
    ["twice_in_table", "ledger_disagrees"],
    "an acked event twice in the table",
    (seen) => ({ ...seen, rows: [...seen.rows, { eventId: "a", content: "A" }] }),
  ],
  [
    ["twice_in_table", "ledger_disagrees"],
    "an event of unknown outcome twice in the table",
    (seen) => ({ ...seen, rows: [...seen.rows, { eventId: "d", content: "D" }] }),
  ],
  [
    ["twice_dead", "ledger_disagrees"],
    "two dead letters of one event",
    (seen) => ({ ...seen, deadLetters: [{ eventId: "c" }, { eventId: "c" }] }),
  ],
  [
    ["delivered_and_dead", "ledger_disagrees"],
    "an event in the table and among the dead letters",
    (seen) => ({ ...seen, deadLetters: [...seen.deadLetters, { eventId: "a" }] }),
  ],
  [
    ["refused_but_stored", "ledger_disagrees"],
    "a refused event in the table",
    (seen) => ({ ...seen, rows: [...seen.rows, { eventId: "f", content: "F" }] }),
  ],
  [
    ["refused_but_stored", "ledger_disagrees"],
    "a refused event among the dead letters",
    (seen) => ({ ...seen, deadLetters: [...seen.deadLetters, { eventId: "f" }] }),
  ],
  [
    ["never_sent", "ledger_disagrees"],
    "a row that nobody sent",
    (seen) => ({ ...seen, rows: [...seen.rows, { eventId: "x", content: "X" }] }),
  ],
  [
    ["altered"],
    "a row with the content that was refused",
    (seen) => ({ ...seen, rows: [...without(seen, "b"), { eventId: "b", content: "other" }] }),
  ],
  [
    ["altered"],
    "a row of unknown outcome with a content that was never sent",
    (seen) => ({ ...seen, rows: [...without(seen, "d"), { eventId: "d", content: "x" }] }),
  ],
  [
    ["two_positions"],
    "an event acked at two positions",
    (seen, history) => {
      history.record({ eventId: "a", content: "A" }, ACKED(9));
      return seen;
    },
  ],
  [
    ["shared_position"],
    "two events acked at one position",
    (seen, history) => {
      history.record({ eventId: "d", content: "D" }, ACKED(0));
      return seen;
    },
  ],
  [
    ["ledger_unbalanced"],
    "a cursor that ran past the counters",
    (seen) => ({ ...seen, ledger: [{ ...LEDGER, cursor: 5, end: 5 }] }),
  ],
  [["ledger_pending"], "events that are still pending", (seen) => ({ ...seen, ledger: [{ ...LEDGER, end: 6 }] })],
  [
    ["ledger_disagrees", "ledger_disagrees"],
    "counters that balance and yet tell another story than table and dead letters",
    (seen) => ({ ...seen, ledger: [{ ...LEDGER, delivered: 2, dead: 2 }] }),
  ],
];

it("takes a delivered event that nobody acknowledged for forgotten only where a primary was replaced", () => {
  const { history, observed } = goodRun();
  history.record({ eventId: "forgotten", content: "F" }, { type: "unknown" });
  const seen = { ...observed, rows: [...observed.rows, { eventId: "forgotten", content: "F" }] };
  expect(checkHistory(history, { ...seen, mayForget: true })).toEqual([]);
  expect(checkHistory(history, seen).map(({ kind }) => kind)).toEqual(["ledger_disagrees"]);
});

it.each(PLANTED)("finds %j: %s", (kinds, _what, plant) => {
  const { history, observed } = goodRun();
  expect(checkHistory(history, plant(observed, history)).map(({ kind }) => kind)).toEqual(kinds);
});

function without(observed: Observed, id: string) {
  return [...observed.rows].filter(({ eventId }) => eventId !== id);
}
