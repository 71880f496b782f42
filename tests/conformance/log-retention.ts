import { describe, expect, it } from "vitest";
import { type RetentionRule, trimOnce } from "../../core/ingestion/retention.ts";
import { appendMany, claimOn, commitOne, LANE, onLog, OTHER, readAll, STREAM } from "./log-fixtures.ts";
import type { LogUnderTest } from "./log-under-test.ts";

const STAMP = { at: 1_770_000_100_000, reason: "dropped_oldest" };

/** What retention is built on: sizes, and lanes that are moved past what goes. */
export function retentionConformance(open: () => Promise<LogUnderTest>): void {
  describe("retention", () => {
    it(
      "moves a lane past what is given up, counts it by its reason, and leaves all other lanes alone",
      onLog(open, async (session) => {
        await appendMany(session.log, { count: 6 });
        const ofJob = { ...LANE, job: "job-1" };
        const other = { ...LANE, sink: "other" };
        for (const lane of [LANE, ofJob, other]) await session.log.openLane(lane, 0);
        const claim = await claimOn(session.log);
        await commitOne(session.log, { claim, from: 0, to: 1 });
        expect(await session.log.passOver(LANE, 4, STAMP)).toBe(3);
        expect(await session.log.passOver(ofJob, 4, STAMP)).toBe(4);
        expect(await session.log.passOver({ ...LANE, sink: "none" }, 4, STAMP)).toBe(0);
        await session.reopen();
        const { log } = session;
        expect(await log.loadLane(LANE)).toMatchObject({ cursor: 4, delivered: 1, filtered: { dropped_oldest: 3 } });
        expect(await log.loadLane(ofJob)).toMatchObject({ cursor: 4, delivered: 0, filtered: { dropped_oldest: 4 } });
        expect(await log.loadLane(other)).toMatchObject({ cursor: 0, filtered: {} });
        expect(await log.settlement(LANE, 2)).toMatchObject({ from: 1, to: 4, settledAt: STAMP.at });
        for (const lane of [LANE, ofJob]) {
          const recount = await log.recount(lane);
          expect(recount?.recounted).toEqual(recount?.state);
        }
      }),
    );

    it(
      "fences the commit of a lane that was passed over meanwhile; the lane goes on from there",
      onLog(open, async ({ log }) => {
        await appendMany(log, { count: 6 });
        await log.openLane(LANE, 0);
        const claim = await claimOn(log);
        await log.passOver(LANE, 4, STAMP);
        await expect(commitOne(log, { claim, from: 0, to: 2 })).rejects.toMatchObject({ code: "fenced" });
        await commitOne(log, { claim, from: 4, to: 6 });
        expect(await log.loadLane(LANE)).toMatchObject({ cursor: 6, delivered: 2, filtered: { dropped_oldest: 4 } });
      }),
    );

    it(
      "moves no lane past the end of its stream, and none back",
      onLog(open, async ({ log }) => {
        await appendMany(log, { count: 3 });
        await log.openLane(LANE, 0);
        await log.passOver(LANE, 99, STAMP);
        expect(await log.loadLane(LANE)).toMatchObject({ cursor: 3 });
        expect(await log.passOver(LANE, 2, STAMP)).toBe(0);
        expect(await log.loadLane(LANE)).toMatchObject({ cursor: 3, filtered: { dropped_oldest: 3 } });
      }),
    );

    it(
      "tells a stream's bytes, and where its last so many bytes begin",
      onLog(open, async (session) => {
        await appendMany(session.log, { count: 40 });
        await session.reopen();
        const { log } = session;
        const whole = await log.storedBytes(STREAM);
        const bodies = (await readAll(log)).reduce((sum, { bytes }) => sum + bytes.length, 0);
        expect(whole).toBeGreaterThanOrEqual(bodies);
        expect(await log.seekBytes(STREAM, whole)).toBe(0);
        expect(await log.seekBytes(STREAM, 0)).toBe(40);
        // Drivers may estimate.
        const middle = await log.seekBytes(STREAM, whole / 2);
        expect(middle).toBeGreaterThan(15);
        expect(middle).toBeLessThan(25);
        expect(await log.storedBytes(OTHER)).toBe(0);
        expect(await log.seekBytes(OTHER, 10)).toBe(0);
      }),
    );

    it(
      "counts no byte of what was let go of",
      onLog(open, async ({ log }) => {
        await appendMany(log, { count: 40 });
        const whole = await log.storedBytes(STREAM);
        await log.trim(STREAM, 30);
        const { first, end } = await log.bounds(STREAM);
        const left = await log.storedBytes(STREAM);
        expect(end).toBe(40);
        expect(left).toBeLessThanOrEqual(whole);
        // Another handle than the one that trims may still see more.
        expect(await log.seekBytes(STREAM, whole)).toBeGreaterThanOrEqual(first);
      }),
    );

    it(
      "goes by age and by bytes as a rule says: what a lane has not settled stays, unless the oldest may be dropped",
      onLog(open, async (session) => {
        const { log } = session;
        await log.openLane(LANE, 0);
        await appendMany(log, { count: 20 });
        await commitOne(log, { claim: await claimOn(log), from: 0, to: 10 });
        const [last] = (await readAll(log)).slice(-1);
        const whole = await log.storedBytes(STREAM);
        const trimmed = async (rule: Partial<RetentionRule>, now = 0) => {
          const dropped: number[] = [];
          let stored = 0;
          await trimOnce({
            log,
            jobs: async () => [],
            rule: () => ({ ageMs: 3_600_000, whenFull: "refuse", ...rule }),
            now: (last?.receivedAt ?? 0) + now,
            stored: (bytes) => (stored = bytes.get(STREAM.tenantId) ?? 0),
            dropped: ({ events }) => void dropped.push(events),
          });
          // Drivers may estimate bytes, and another handle than the one that trims may still see more.
          const { first } = await log.bounds(STREAM);
          return { dropped, isLess: first > 0 || stored < whole };
        };
        expect(await trimmed({})).toEqual({ dropped: [], isLess: false });
        // Ten of twenty are settled.
        expect(await trimmed({ bytesMax: whole / 4 })).toEqual({ dropped: [], isLess: true });
        expect(await log.loadLane(LANE)).toMatchObject({ cursor: 10, filtered: {} });
        const { dropped } = await trimmed({ bytesMax: whole / 4, whenFull: "drop_oldest" });
        const [events = 0] = dropped;
        expect(events).toBeGreaterThan(2);
        expect(events).toBeLessThan(10);
        const first = 10 + events;
        expect(await log.loadLane(LANE)).toMatchObject({ cursor: first, filtered: { dropped_oldest: events } });
        // Old by now, but not settled.
        expect((await trimmed({}, 3_600_001)).dropped).toEqual([]);
        expect((await readAll(log)).slice(first - 20).map(({ sequence }) => sequence)).toEqual(
          Array.from({ length: 20 - first }, (_, i) => first + i),
        );
        await commitOne(log, { claim: await claimOn(log), from: first, to: 20 });
        expect((await trimmed({}, 3_600_001)).dropped).toEqual([]);
      }),
    );
  });
}
