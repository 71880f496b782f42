import type { IngestionLog, LaneId, Redriven } from "../../core/ingestion/log.ts";
import { laneKey } from "../../core/ingestion/log.ts";
import { describe, expect, it } from "vitest";
import { LANE, appendMany, claimOn, commitOne, letterOf, onLog } from "./log-fixtures.ts";
import type { LogUnderTest } from "./log-under-test.ts";

const JOB_LANE: LaneId = { ...LANE, job: "job-1" };
const FRESH = { start: 3, cursor: 3, delivered: 0, filtered: {}, dead: 0, erased: 0 };
const DEAD = [{ from: 1, to: 6, outcome: "dead" as const }];

export function jobConformance(open: () => Promise<LogUnderTest>): void {
  describe("lanes of jobs", () => {
    it(
      "stand beside the live lane, with a cursor, a ledger and settlements of their own",
      onLog(open, async (session) => {
        await appendMany(session.log, { count: 10 });
        await session.log.openLane(LANE, "start");
        expect(await session.log.openLane(JOB_LANE, 3)).toEqual(FRESH);
        expect(await session.log.openLane(JOB_LANE, 7)).toEqual(FRESH);
        const claim = await claimOn(session.log);
        await commitOne(session.log, { lane: JOB_LANE, claim, from: 3, to: 6, configRevision: 9 });
        await session.reopen();
        const { log } = session;
        expect(await log.loadLane(JOB_LANE)).toEqual({ ...FRESH, cursor: 6, delivered: 3 });
        expect(await log.loadLane(LANE)).toMatchObject({ cursor: 0 });
        expect(await log.settlement(JOB_LANE, 4)).toMatchObject({ from: 3, to: 6, configRevision: 9 });
        expect(await log.settlement(LANE, 4)).toBeUndefined();
        expect((await log.lanes()).map(({ lane }) => laneKey(lane))).toEqual(["tenant_a/0/raw"]);
        expect(await log.jobLanes()).toEqual([{ lane: JOB_LANE, state: { ...FRESH, cursor: 6, delivered: 3 } }]);
        expect(await log.jobLanes("tenant_b")).toEqual([]);
      }),
    );

    it(
      "keep dead letters of their own, which count with the sink's",
      onLog(open, async ({ log }) => {
        await appendMany(log, { count: 10 });
        await log.openLane(JOB_LANE, 0);
        const claim = await claimOn(log);
        const exceptions = [{ from: 2, to: 3, outcome: "dead" as const }];
        await commitOne(log, { lane: JOB_LANE, claim, from: 0, to: 4, exceptions });
        expect(await log.deadLetters({ sink: "raw", limit: 10 })).toMatchObject([{ lane: JOB_LANE, sequence: 2 }]);
        expect(await log.deadLetterGroups({ sink: "raw" })).toMatchObject([{ sink: "raw", events: 1 }]);
      }),
    );
  });

  describe("a redrive", () => {
    it(
      "takes what it delivered out of the dead letters and moves the ledger, in one step with its own cursor",
      onLog(open, async (session) => {
        const commit = await fiveDead(session.log);
        await commit(1, 4, [
          { lane: LANE, sequence: 1, outcome: { type: "delivered" } },
          { lane: LANE, sequence: 2, outcome: { type: "filtered", reason: "bot" } },
          { lane: LANE, sequence: 3, outcome: { type: "erased" } },
        ]);
        await session.reopen();
        const { log } = session;
        const counts = { delivered: 3, filtered: { bot: 1 }, dead: 2, erased: 1 };
        expect(await log.loadLane(LANE)).toEqual({ start: 0, cursor: 7, ...counts });
        expect(await log.loadLane(JOB_LANE)).toMatchObject({ cursor: 4 });
        expect((await log.deadLetters({ limit: 10 })).map(({ sequence }) => sequence)).toEqual([4, 5]);
        expect((await log.deadLetterGroups({}))[0]?.events).toBe(2);
        const stamp = { at: 1_770_000_000_000, job: "job-1", configRevision: 3 };
        expect(await log.amendment(LANE, 1)).toEqual({ sequence: 1, outcome: { type: "delivered" }, ...stamp });
        expect(await log.amendment(LANE, 2)).toMatchObject({ outcome: { type: "filtered", reason: "bot" } });
        expect(await log.recount(LANE)).toMatchObject({ recounted: counts, deadLetters: 2 });
      }),
    );

    it(
      "keeps what failed again with its new history, in its new group",
      onLog(open, async ({ log }) => {
        const commit = await fiveDead(log);
        const deadLetter = { ...letterOf(LANE, 2), code: "08006", fingerprint: "ffff", diedAt: 1_770_000_001_000 };
        await commit(1, 3, [{ lane: LANE, sequence: 2, outcome: { type: "dead", deadLetter } }]);
        expect(await log.deadLetter(LANE, 2)).toMatchObject({ code: "08006", fingerprint: "ffff" });
        expect(await log.loadLane(LANE)).toMatchObject({ dead: 5, delivered: 2 });
        const groups = await log.deadLetterGroups({});
        expect(groups.map(({ fingerprint, events }) => [fingerprint, events])).toEqual([
          [letterOf(LANE, 1).fingerprint, 4],
          ["ffff", 1],
        ]);
        expect(await log.deadLetters({ fingerprint: "ffff", limit: 10 })).toHaveLength(1);
        expect(await log.amendment(LANE, 2)).toBeUndefined();
      }),
    );

    it(
      "that fails again leaves since when its kind fails, though it was the only one left",
      onLog(open, async (session) => {
        const commit = await fiveDead(session.log);
        const others = [2, 3, 4, 5].map((sequence) => ({ lane: LANE, sequence }));
        await session.log.discard(others, { at: 1, reason: "discarded" });
        const [{ firstAt } = { firstAt: 0 }] = await session.log.deadLetterGroups({});
        const deadLetter = { ...letterOf(LANE, 1), diedAt: firstAt + 60_000 };
        await commit(1, 2, [{ lane: LANE, sequence: 1, outcome: { type: "dead", deadLetter } }]);
        await session.reopen();
        const group = { events: 1, firstAt, lastAt: firstAt + 60_000 };
        expect(await session.log.deadLetterGroups({})).toEqual([expect.objectContaining(group)]);
        expect(await session.log.deadLetters({ limit: 10 })).toMatchObject([{ diedAt: firstAt + 60_000 }]);
        expect(await session.log.loadLane(LANE)).toMatchObject({ dead: 1, filtered: { discarded: 4 } });
      }),
    );

    it(
      "counts nothing twice: a letter that is gone stays as it was settled by whoever was first",
      onLog(open, async ({ log }) => {
        const commit = await fiveDead(log);
        await log.discard([{ lane: LANE, sequence: 1 }], { at: 1, reason: "discarded" });
        const deadLetter = letterOf(LANE, 1);
        await commit(1, 2, [{ lane: LANE, sequence: 1, outcome: { type: "delivered" } }]);
        await commit(2, 3, [{ lane: LANE, sequence: 1, outcome: { type: "dead", deadLetter } }]);
        expect(await log.loadLane(LANE)).toMatchObject({ delivered: 2, dead: 4, filtered: { discarded: 1 } });
        expect(await log.deadLetter(LANE, 1)).toBeUndefined();
      }),
    );

    it(
      "that is fenced changes nothing",
      onLog(open, async ({ log }) => {
        await fiveDead(log);
        const claim = await claimOn(log);
        const redriven: Redriven[] = [{ lane: LANE, sequence: 1, outcome: { type: "delivered" } }];
        const stale = { ...claim, epoch: claim.epoch - 1 };
        const commit = { lane: JOB_LANE, from: 1, to: 2, redriven };
        await expect(commitOne(log, { ...commit, claim: stale })).rejects.toMatchObject({ code: "fenced" });
        await expect(commitOne(log, { ...commit, claim, from: 0 })).rejects.toMatchObject({ code: "fenced" });
        expect(await log.loadLane(LANE)).toMatchObject({ dead: 5, delivered: 2 });
        expect(await log.deadLetters({ limit: 10 })).toHaveLength(5);
      }),
    );
  });
}

/** A lane with the events 1 to 5 of 7 dead, and a way to commit a redrive of them. */
async function fiveDead(log: IngestionLog) {
  await appendMany(log, { count: 8 });
  await log.openLane(LANE, "start");
  await log.openLane(JOB_LANE, 1);
  const claim = await claimOn(log);
  await commitOne(log, { claim, from: 0, to: 7, exceptions: DEAD });
  return (from: number, to: number, redriven: readonly Redriven[]) =>
    commitOne(log, { lane: JOB_LANE, claim, from, to, redriven });
}
