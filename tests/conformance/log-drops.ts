import { describe, expect, it } from "vitest";
import { laneKey, streamKey } from "../../core/ingestion/log.ts";
import { ALL, appendMany, claimOn, commitOne, LANE, onLog, OTHER, STREAM } from "./log-fixtures.ts";
import type { LogUnderTest } from "./log-under-test.ts";

const KEPT = { ...LANE, sink: "kept" };
const DEAD = [{ from: 1, to: 3, outcome: "dead" as const }];

export function dropConformance(open: () => Promise<LogUnderTest>): void {
  describe("dropped lanes", () => {
    it(
      "are forgotten with settlements and dead letters, others and the events stay, also over a restart",
      onLog(open, async (session) => {
        await appendMany(session.log, { count: 5 });
        const claim = await claimOn(session.log);
        for (const lane of [LANE, KEPT]) {
          await session.log.openLane(lane, "start");
          await commitOne(session.log, { lane, claim, from: 0, to: 4, exceptions: DEAD });
        }
        expect(await session.log.dropLane(LANE)).toBe(true);
        for (let round = 0; round < 2; round++) {
          const { log } = session;
          expect((await log.lanes()).map(({ lane }) => laneKey(lane))).toEqual([laneKey(KEPT)]);
          expect(await log.loadLane(LANE)).toBeUndefined();
          expect(await log.settlement(LANE, 0)).toBeUndefined();
          expect(await log.deadLetter(LANE, 1)).toBeUndefined();
          expect((await log.deadLetters({ limit: 10 })).map(({ lane }) => lane.sink)).toEqual(["kept", "kept"]);
          expect((await log.deadLetterGroups({})).map(({ sink, events }) => [sink, events])).toEqual([["kept", 2]]);
          expect(await log.settlement(KEPT, 0)).toMatchObject({ from: 0, to: 4 });
          expect(await log.read(STREAM, 0, ALL)).toHaveLength(5);
          await session.reopen();
        }
      }),
    );

    it(
      "begin anew when they are opened again",
      onLog(open, async ({ log }) => {
        await appendMany(log, { count: 5 });
        const claim = await claimOn(log);
        await log.openLane(LANE, "start");
        await commitOne(log, { claim, from: 0, to: 4, exceptions: DEAD });
        await log.discard([{ lane: LANE, sequence: 1 }], { at: 1, reason: "no use" });
        await log.dropLane(LANE);
        const fresh = { start: 0, cursor: 0, delivered: 0, filtered: {}, dead: 0, erased: 0 };
        expect(await log.openLane(LANE, "start")).toEqual(fresh);
        expect(await log.recount(LANE)).toEqual({ state: fresh, recounted: fresh, deadLetters: 0 });
        expect(await log.amendment(LANE, 1)).toBeUndefined();
        expect(await log.deadLetterGroups({})).toEqual([]);
        await commitOne(log, { claim, from: 0, to: 1 });
        expect(await log.loadLane(LANE)).toMatchObject({ cursor: 1, delivered: 1, dead: 0 });
      }),
    );

    it(
      "fence the commits of whoever still works on them",
      onLog(open, async ({ log }) => {
        await appendMany(log, { count: 2 });
        const claim = await claimOn(log);
        await log.openLane(LANE, "start");
        await log.dropLane(LANE);
        await expect(commitOne(log, { claim, from: 0, to: 1 })).rejects.toMatchObject({ code: "fenced" });
        expect(await log.loadLane(LANE)).toBeUndefined();
      }),
    );

    it(
      "are told from those that were never there",
      onLog(open, async ({ log }) => {
        await log.openLane(LANE, "start");
        expect(await log.dropLane({ ...LANE, sink: "unknown" })).toBe(false);
        expect([await log.dropLane(LANE), await log.dropLane(LANE)]).toEqual([true, false]);
      }),
    );

    it(
      "may have more to forget than one transaction holds",
      onLog(open, async ({ log }) => {
        const count = 2_500;
        await appendMany(log, { count });
        const claim = await claimOn(log);
        await log.openLane(LANE, "start");
        const all = [{ from: 0, to: count, outcome: "dead" as const }];
        await commitOne(log, { claim, from: 0, to: count, exceptions: all });
        expect(await log.dropLane(LANE)).toBe(true);
        expect(await log.deadLetters({ limit: 1 })).toEqual([]);
        expect(await log.deadLetterGroups({})).toEqual([]);
      }),
    );
  });

  describe("known streams", () => {
    it(
      "are those that were appended to, with and without lanes, trimmed or not, also over a restart",
      onLog(open, async (session) => {
        expect(await session.log.knownStreams()).toEqual([]);
        await appendMany(session.log, { count: 2 });
        await appendMany(session.log, { stream: OTHER, count: 2 });
        await session.log.openLane({ stream: { ...STREAM, partition: 7 }, sink: "raw" }, "start");
        await session.log.trim(OTHER, 2);
        const known = async () => (await session.log.knownStreams()).map(streamKey).sort();
        expect(await known()).toEqual([streamKey(STREAM), streamKey(OTHER)]);
        await session.reopen();
        expect(await known()).toEqual([streamKey(STREAM), streamKey(OTHER)]);
      }),
    );
  });
}
