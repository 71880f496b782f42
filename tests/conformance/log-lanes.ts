import { laneKey } from "../../core/ingestion/log.ts";
import { describe, expect, it } from "vitest";
import type { LogUnderTest } from "./log-under-test.ts";
import {
  ALL,
  LANE,
  OTHER,
  STREAM,
  appendMany,
  claimOn,
  commitOf,
  commitOne,
  onLog,
  streamElsewhere,
} from "./log-fixtures.ts";

const FENCED = { code: "fenced" };
const FRESH = { start: 0, cursor: 0, delivered: 0, filtered: {}, dead: 0, erased: 0 };

export function laneConformance(open: () => Promise<LogUnderTest>): void {
  describe("lanes", () => {
    it(
      "open at the tail or at the start, once: a second opening changes nothing",
      onLog(open, async (session) => {
        const tail = { ...LANE, sink: "tail" };
        await appendMany(session.log, { count: 5 });
        expect(await session.log.openLane(LANE, "start")).toEqual(FRESH);
        expect(await session.log.openLane(tail, "tail")).toEqual({ ...FRESH, start: 5, cursor: 5 });
        await appendMany(session.log, { count: 2, prefix: "more" });
        expect(await session.log.openLane(tail, "start")).toEqual({ ...FRESH, start: 5, cursor: 5 });
        expect(await session.log.openLane(LANE, "tail")).toEqual(FRESH);
        await session.reopen();
        expect(await session.log.loadLane(tail)).toEqual({ ...FRESH, start: 5, cursor: 5 });
        expect(await session.log.loadLane({ ...LANE, sink: "unknown" })).toBeUndefined();
      }),
    );

    it(
      "open once when many open at the same time",
      onLog(open, async ({ log }) => {
        const states = await Promise.all(
          Array.from({ length: 20 }, async (_, i) => {
            await appendMany(log, { count: 1, prefix: `e${i}-` });
            return log.openLane(LANE, "tail");
          }),
        );
        for (const state of states) expect(state).toEqual(states[0]);
      }),
    );

    it(
      "are listed, all or one tenant's alone",
      onLog(open, async ({ log }) => {
        // One tenant's name begins with the other's: a prefix is not a tenant.
        const streams = [STREAM, { ...STREAM, partition: 1 }, { tenantId: `${STREAM.tenantId}x`, partition: 0 }, OTHER];
        for (const stream of streams) {
          for (const sink of ["raw", "copy"]) await log.openLane({ stream, sink }, "start");
        }
        const keys = async (tenantId?: string) => (await log.lanes(tenantId)).map(({ lane }) => laneKey(lane)).sort();
        expect(await keys()).toHaveLength(8);
        expect(await keys(STREAM.tenantId)).toEqual([
          "tenant_a/0/copy",
          "tenant_a/0/raw",
          "tenant_a/1/copy",
          "tenant_a/1/raw",
        ]);
        expect(await keys("nobody")).toEqual([]);
        expect((await log.lanes(OTHER.tenantId))[0]?.state).toEqual(FRESH);
      }),
    );
  });

  describe("claims", () => {
    it(
      "give a lone worker its slots at once, each with an epoch, and end after release",
      onLog(open, async ({ log }) => {
        const claims = await log.claims("worker_1");
        const iterator = claims.held(new AbortController().signal)[Symbol.asyncIterator]();
        const { value: held = [] } = (await iterator.next()) as { value?: readonly { slot: number }[] };
        expect(held.length).toBeGreaterThan(0);
        expect(new Set(held.map(({ slot }) => slot)).size).toBe(held.length);
        await claims.release();
        await drain(iterator);
      }),
    );

    it(
      "end when the signal aborts",
      onLog(open, async ({ log }) => {
        const controller = new AbortController();
        const claims = await log.claims("worker_1");
        const iterator = claims.held(controller.signal)[Symbol.asyncIterator]();
        await iterator.next();
        controller.abort();
        await drain(iterator);
      }),
    );

    it(
      "of a restarted worker fence those it held before",
      onLog(open, async (session) => {
        await appendMany(session.log, { count: 2 });
        await session.log.openLane(LANE, "start");
        const old = await claimOn(session.log);
        await commitOne(session.log, { claim: old, from: 0, to: 1 });
        await session.reopen();
        const renewed = await claimOn(session.log);
        expect(renewed.epoch).toBeGreaterThan(old.epoch);
        await expect(commitOne(session.log, { claim: old, from: 1, to: 2 })).rejects.toMatchObject(FENCED);
        await commitOne(session.log, { claim: renewed, from: 1, to: 2 });
      }),
    );

    it(
      "that another took over are void",
      onLog(open, async ({ log, takeOver }) => {
        if (takeOver === undefined) return;
        await appendMany(log, { count: 2 });
        await log.openLane(LANE, "start");
        const mine = await claimOn(log);
        const theirs = await takeOver(mine.slot);
        expect(theirs.epoch).toBeGreaterThan(mine.epoch);
        await expect(commitOne(log, { claim: mine, from: 0, to: 1 })).rejects.toMatchObject(FENCED);
        await commitOne(log, { claim: theirs, from: 0, to: 1 });
        expect((await log.loadLane(LANE))?.cursor).toBe(1);
      }),
    );
  });

  describe("commit", () => {
    it(
      "moves the cursor and counts every outcome, in one step, for good",
      onLog(open, async (session) => {
        await appendMany(session.log, { count: 20 });
        await session.log.openLane(LANE, "start");
        const claim = await claimOn(session.log);
        await commitOne(session.log, { claim, from: 0, to: 4 });
        await commitOne(session.log, {
          claim,
          from: 4,
          to: 15,
          exceptions: [
            { from: 4, to: 6, outcome: "filtered", reason: "bot" },
            { from: 7, to: 8, outcome: "dead" },
            { from: 9, to: 10, outcome: "erased" },
            { from: 10, to: 11, outcome: "filtered", reason: "test: mode" },
            { from: 12, to: 13, outcome: "filtered", reason: "bot" },
          ],
        });
        await session.reopen();
        expect(await session.log.loadLane(LANE)).toEqual({
          start: 0,
          cursor: 15,
          delivered: 9,
          filtered: { bot: 3, "test: mode": 1 },
          dead: 1,
          erased: 1,
        });
        expect(await session.log.deadLetters({ limit: 10 })).toHaveLength(1);
      }),
    );

    it(
      "is fenced, and changes nothing, when the claim is not the newest",
      onLog(open, async ({ log }) => {
        await appendMany(log, { count: 2 });
        await log.openLane(LANE, "start");
        const claim = await claimOn(log);
        const stale = { ...claim, epoch: claim.epoch - 1 };
        const exceptions = [{ from: 0, to: 1, outcome: "dead" as const }];
        await expect(commitOne(log, { claim: stale, from: 0, to: 1, exceptions })).rejects.toMatchObject(FENCED);
        expect(await log.loadLane(LANE)).toEqual(FRESH);
        expect(await log.deadLetters({ limit: 10 })).toEqual([]);
        expect(await log.settlement(LANE, 0)).toBeUndefined();
      }),
    );

    it(
      "is fenced when the claim is on another slot than the lane's",
      onLog(open, async ({ log }) => {
        await appendMany(log, { count: 2 });
        await log.openLane(LANE, "start");
        const claim = await claimOn(log, streamElsewhere());
        await expect(commitOne(log, { claim, from: 0, to: 1 })).rejects.toMatchObject(FENCED);
      }),
    );

    it(
      "is fenced, and changes nothing, when it does not start at the cursor",
      onLog(open, async ({ log }) => {
        await appendMany(log, { count: 6 });
        await log.openLane(LANE, "start");
        const claim = await claimOn(log);
        await commitOne(log, { claim, from: 0, to: 3 });
        for (const from of [0, 2, 4]) {
          await expect(commitOne(log, { claim, from, to: 5 })).rejects.toMatchObject(FENCED);
        }
        expect(await log.loadLane(LANE)).toEqual({ ...FRESH, cursor: 3, delivered: 3 });
      }),
    );

    it(
      "is refused for a lane that was never opened",
      onLog(open, async ({ log }) => {
        await appendMany(log, { count: 1 });
        const claim = await claimOn(log);
        await expect(commitOne(log, { claim, from: 0, to: 1 })).rejects.toThrow();
        expect(await log.loadLane(LANE)).toBeUndefined();
      }),
    );

    it(
      "of several lanes settles each by itself: a fenced one does not undo the others",
      onLog(open, async ({ log }) => {
        const lanes = ["a", "b", "c"].map((sink) => ({ ...LANE, sink }));
        await appendMany(log, { count: 3 });
        for (const lane of lanes) await log.openLane(lane, "start");
        const claim = await claimOn(log);
        const results = await log.commit([
          commitOf({ lane: lanes[0]!, claim, from: 0, to: 2 }),
          commitOf({ lane: lanes[1]!, claim, from: 1, to: 2 }),
          commitOf({ lane: lanes[2]!, claim, from: 0, to: 3 }),
        ]);
        expect(results.map(({ status }) => status)).toEqual(["fulfilled", "rejected", "fulfilled"]);
        expect((results[1] as PromiseRejectedResult).reason).toMatchObject(FENCED);
        const cursors = await Promise.all(lanes.map(async (lane) => (await log.loadLane(lane))?.cursor));
        expect(cursors).toEqual([2, 0, 3]);
      }),
    );

    it(
      "lets one of two rivals win when both settle the same events",
      onLog(open, async ({ log }) => {
        await appendMany(log, { count: 10 });
        await log.openLane(LANE, "start");
        const claim = await claimOn(log);
        const rivals = await Promise.allSettled([3, 4, 5, 6].map((to) => commitOne(log, { claim, from: 0, to })));
        const winners = rivals.flatMap(({ status }, i) => (status === "fulfilled" ? [i + 3] : []));
        expect(winners).toHaveLength(1);
        expect(await log.loadLane(LANE)).toEqual({ ...FRESH, cursor: winners[0], delivered: winners[0] });
      }),
    );

    it(
      "takes hundreds of lanes in one call",
      onLog(open, async (session) => {
        const lanes = Array.from({ length: 300 }, (_, i) => ({ ...LANE, sink: `sink_${i}` }));
        await appendMany(session.log, { count: 2 });
        for (const lane of lanes) await session.log.openLane(lane, "start");
        const claim = await claimOn(session.log);
        const results = await session.log.commit(lanes.map((lane) => commitOf({ lane, claim, from: 0, to: 2 })));
        expect(results.every(({ status }) => status === "fulfilled")).toBe(true);
        await session.reopen();
        const states = await session.log.lanes(STREAM.tenantId);
        expect(states.map(({ state }) => state.cursor)).toEqual(lanes.map(() => 2));
      }),
    );

    it(
      "is told by the settlement that covers a sequence",
      onLog(open, async (session) => {
        await appendMany(session.log, { count: 12 });
        await session.log.openLane(LANE, "start");
        const claim = await claimOn(session.log);
        const exceptions = [
          { from: 5, to: 6, outcome: "filtered" as const, reason: "bot" },
          { from: 6, to: 8, outcome: "dead" as const },
        ];
        await commitOne(session.log, { claim, from: 0, to: 1 });
        await commitOne(session.log, { claim, from: 1, to: 5, configRevision: 7 });
        await commitOne(session.log, { claim, from: 5, to: 10, exceptions });
        for (const reopened of [false, true]) {
          if (reopened) await session.reopen();
          const { log } = session;
          expect(await log.settlement(LANE, 0)).toMatchObject({ from: 0, to: 1 });
          for (const sequence of [1, 3, 4]) {
            expect(await log.settlement(LANE, sequence)).toMatchObject({ from: 1, to: 5, configRevision: 7 });
          }
          for (const sequence of [5, 7, 9]) {
            expect(await log.settlement(LANE, sequence)).toEqual({
              from: 5,
              to: 10,
              exceptions,
              configRevision: 3,
              settledAt: 1_770_000_000_000,
            });
          }
          expect(await log.settlement(LANE, 10)).toBeUndefined();
          expect(await log.settlement({ ...LANE, sink: "ra" }, 3)).toBeUndefined();
        }
      }),
    );

    it(
      "leaves the events in the log until they are trimmed",
      onLog(open, async ({ log }) => {
        await appendMany(log, { count: 4 });
        await log.openLane(LANE, "start");
        await commitOne(log, { claim: await claimOn(log), from: 0, to: 4 });
        expect(await log.read(STREAM, 0, ALL)).toHaveLength(4);
      }),
    );
  });
}

async function drain(iterator: AsyncIterator<unknown>): Promise<void> {
  for (let step = await iterator.next(); step.done !== true; step = await iterator.next());
}
