import { describe, expect, it } from "vitest";
import { openMemoryLog, type MemoryLog } from "../../drivers/memory/index.ts";
import { LANE, appendMany, claimOn, commitOne, OTHER } from "../../tests/conformance/log-fixtures.ts";
import { SimClock } from "../../tests/helpers/sim-clock.ts";
import { auditLane, ledgerOf } from "./ledger.ts";
import type { IngestionLog, LaneId, Recount } from "./log.ts";

async function settledLog(): Promise<MemoryLog> {
  const log = openMemoryLog({ clock: new SimClock() });
  await appendMany(log, { count: 20 });
  await log.openLane(LANE, "start");
  await commitOne(log, {
    claim: await claimOn(log),
    from: 0,
    to: 12,
    exceptions: [
      { from: 1, to: 4, outcome: "filtered", reason: "bot" },
      { from: 5, to: 7, outcome: "dead" },
      { from: 8, to: 9, outcome: "erased" },
    ],
  });
  return log;
}

const ACCOUNT = { accepted: 20, delivered: 6, filtered: 3, dead: 2, erased: 1, pending: 8, imbalance: 0 };

describe("the ledger", () => {
  it("accounts for every event of every lane", async () => {
    const log = await settledLog();
    await log.openLane({ stream: OTHER, sink: "raw" }, "tail");
    const ledger = await ledgerOf({ reader: log, lanes: log });
    expect(ledger).toMatchObject([
      { lane: LANE, ...ACCOUNT, filteredByReason: { bot: 3 } },
      { lane: { stream: OTHER }, accepted: 0, pending: 0, imbalance: 0 },
    ]);
    expect(await ledgerOf({ reader: log, lanes: log }, "tenant_b")).toHaveLength(1);
  });

  it("shows what is missing when the counters are wrong", async () => {
    const log = await settledLog();
    const [first] = await log.lanes();
    const lanes = {
      lanes: async () => [{ lane: LANE, state: { ...first!.state, delivered: 4 } }],
      recount: (lane: LaneId) => log.recount(lane),
    };
    expect(await ledgerOf({ reader: log, lanes })).toMatchObject([{ imbalance: 2 }]);
  });
});

describe("an audit", () => {
  it("finds nothing where all is well, also after discards", async () => {
    const log = await settledLog();
    await log.discard([{ lane: LANE, sequence: 5 }], { at: 1, reason: "discarded" });
    const audit = await auditLane({ reader: log, lanes: log }, LANE);
    expect(audit).toMatchObject({ deadLetters: 1, unsettledEntries: 8, pending: 8, faults: [] });
    expect(audit?.recounted).toEqual(audit?.stated);
  });

  it("names each count that does not agree", async () => {
    const log = await settledLog();
    const recount = (await log.recount(LANE)) as Recount;
    const wrong = { ...recount, state: { ...recount.state, delivered: 5, filtered: { bot: 2, other: 1 }, dead: 3 } };
    const reader: Pick<IngestionLog, "bounds" | "read"> = {
      bounds: (stream) => log.bounds(stream),
      read: async (stream, from, limits) => (await log.read(stream, from, limits)).filter((one) => one.sequence !== 15),
    };
    const lanes = { lanes: () => log.lanes(), recount: async () => wrong };
    expect((await auditLane({ reader, lanes }, LANE))?.faults).toEqual([
      "delivered is 5; the settlements make it 6",
      "dead is 3; the settlements make it 2",
      'filtered by "bot" is 2; the settlements make it 3',
      'filtered by "other" is 1; the settlements make it 0',
      "dead is 3; there are 2 dead letters",
      "pending is 8; the log holds 7 of them",
    ]);
  });

  it("knows no lane that was never opened", async () => {
    const log = await settledLog();
    expect(await auditLane({ reader: log, lanes: log }, { ...LANE, sink: "none" })).toBeUndefined();
  });
});
