import type { IngestionLog, Stream } from "../../core/ingestion/log.ts";
import { SLOT_COUNT, slotOf, streamKey } from "../../core/ingestion/log.ts";
import { describe, expect, it } from "vitest";
import type { LogUnderTest } from "./log-under-test.ts";
import {
  ALL,
  OTHER,
  STREAM,
  appendMany,
  appendOne,
  entryOf,
  idOf,
  onLog,
  readAll,
  receivedAtOf,
  streamElsewhere,
} from "./log-fixtures.ts";

const ALL_SLOTS: ReadonlySet<number> = new Set(Array.from({ length: SLOT_COUNT }, (_, slot) => slot));

export function readConformance(open: () => Promise<LogUnderTest>): void {
  describe("read", () => {
    it(
      "starts at the sequence asked for and is empty at the end and in unknown streams",
      onLog(open, async ({ log }) => {
        await appendMany(log, { count: 5 });
        expect((await log.read(STREAM, 3, ALL)).map(({ sequence }) => sequence)).toEqual([3, 4]);
        expect(await log.read(STREAM, 5, ALL)).toEqual([]);
        expect(await log.read(STREAM, 99, ALL)).toEqual([]);
        expect(await log.read(OTHER, 0, ALL)).toEqual([]);
        expect(await log.bounds(OTHER)).toEqual({ first: 0, end: 0 });
      }),
    );

    it(
      "stops at the limit of entries, and behind the entry that passes the limit of bytes",
      onLog(open, async ({ log }) => {
        await appendMany(log, { count: 10 });
        expect(await log.read(STREAM, 0, { ...ALL, entries: 4 })).toHaveLength(4);
        const bytesEach = (await readAll(log))[0]!.bytes.length;
        expect(await log.read(STREAM, 0, { ...ALL, bytes: Math.floor(bytesEach * 2.5) })).toHaveLength(3);
        expect(await log.read(STREAM, 0, { ...ALL, bytes: 1 })).toHaveLength(1);
      }),
    );

    it(
      "gives a whole stream to a reader that pages through it, each entry once",
      onLog(open, async ({ log }) => {
        for (let i = 0; i < 20; i++) {
          await log.append([0, 1, 2].map((n) => entryOf({ stream: n === 2 ? OTHER : STREAM, id: `e${i}-${n}` })));
        }
        const seen: number[] = [];
        for (let from = 0; ; from = seen.length) {
          const page = await log.read(STREAM, from, { ...ALL, entries: 7 });
          if (page.length === 0) break;
          seen.push(...page.map(({ sequence }) => sequence));
        }
        expect(seen).toEqual(Array.from({ length: 40 }, (_, i) => i));
      }),
    );

    it(
      "keeps what was not trimmed, and starts at the first stored entry",
      onLog(open, async (session) => {
        await appendMany(session.log, { count: 20 });
        await appendMany(session.log, { stream: OTHER, count: 4 });
        await session.log.trim(STREAM, 12);
        for (const round of ["at once", "after reopening"]) {
          const { first, end } = await session.log.bounds(STREAM);
          expect(end, round).toBe(20);
          expect(first, round).toBeLessThanOrEqual(12);
          const stored = await readAll(session.log);
          expect(stored.map(({ sequence }) => sequence)).toEqual(
            Array.from({ length: end - first }, (_, i) => first + i),
          );
          expect(stored.map(idOf).slice(-8)).toEqual(Array.from({ length: 8 }, (_, i) => `e${i + 12}`));
          expect(await session.log.bounds(OTHER), round).toEqual({ first: 0, end: 4 });
          await session.reopen();
        }
        expect(await appendMany(session.log, { count: 1, prefix: "next" })).toEqual([20]);
      }),
    );

    it(
      "never gives a sequence out again after everything was trimmed",
      onLog(open, async (session) => {
        await appendMany(session.log, { count: 5 });
        await session.log.trim(STREAM, 5);
        await session.reopen();
        expect((await session.log.bounds(STREAM)).end).toBe(5);
        expect(await appendMany(session.log, { count: 2, prefix: "next" })).toEqual([5, 6]);
        expect((await session.log.read(STREAM, 5, ALL)).map(idOf)).toEqual(["next0", "next1"]);
      }),
    );

    it(
      "seeks the first position at or after a time, the end when there is none",
      onLog(open, async (session) => {
        const times: number[] = [];
        for (let i = 0; i < 6; i++) {
          // Two events share each time.
          if (i % 2 === 0) await session.advance(1_000);
          times.push(receivedAtOf(await appendOne(session.log, { id: `e${i}` })));
        }
        for (const reopened of [false, true]) {
          if (reopened) await session.reopen();
          const { log } = session;
          expect(await log.seek(STREAM, 0)).toBe(0);
          for (const time of times) {
            expect(await log.seek(STREAM, time)).toBe(times.indexOf(time));
            expect(await log.seek(STREAM, time + 1)).toBe(times.lastIndexOf(time) + 1);
          }
          expect(await log.seek(STREAM, times[5]! + 1)).toBe(6);
          expect(await log.seek(OTHER, 0)).toBe(0);
        }
      }),
    );

    it(
      "finds an event by tenant and id, also after reopening, and nobody else's",
      onLog(open, async (session) => {
        const partition1 = { ...STREAM, partition: 1 };
        await appendMany(session.log, { count: 3, prefix: "other" });
        await appendOne(session.log, { stream: partition1, id: "x" });
        const receivedAt = receivedAtOf(await appendOne(session.log, { stream: partition1, id: "e1" }));
        for (const reopened of [false, true]) {
          if (reopened) await session.reopen();
          const { log } = session;
          expect(await log.find(STREAM.tenantId, "e1")).toEqual({ stream: partition1, sequence: 1, receivedAt });
          expect(await log.find(OTHER.tenantId, "e1")).toBeUndefined();
          expect(await log.find(STREAM.tenantId, "e2")).toBeUndefined();
        }
      }),
    );
  });

  describe("arrivals", () => {
    it(
      "announces a stream after its entries became readable, and not what came before the call",
      onLog(open, async ({ log }) => {
        await appendMany(log, { stream: OTHER, count: 1 });
        const arrivals = follow(log, ALL_SLOTS);
        await appendMany(log, { count: 1 });
        expect(await arrivals.next()).toEqual([streamKey(STREAM)]);
        expect(await readAll(log)).toHaveLength(1);
        arrivals.stop();
      }),
    );

    it(
      "wakes a reader that already waits",
      onLog(open, async ({ log }) => {
        const arrivals = follow(log, ALL_SLOTS);
        const woken = arrivals.next();
        await appendMany(log, { count: 2 });
        expect(await woken).toEqual([streamKey(STREAM)]);
        const again = arrivals.next();
        await appendMany(log, { stream: OTHER, count: 2 });
        expect(await again).toEqual([streamKey(OTHER)]);
        arrivals.stop();
      }),
    );

    it(
      "announces streams of the given slots alone",
      onLog(open, async ({ log }) => {
        const elsewhere = streamElsewhere();
        const arrivals = follow(log, new Set([slotOf(STREAM)]));
        await appendMany(log, { stream: elsewhere, count: 1 });
        await appendMany(log, { count: 1 });
        expect(await arrivals.next()).toEqual([streamKey(STREAM)]);
        arrivals.stop();
      }),
    );

    it(
      "gives each of two readers every announcement",
      onLog(open, async ({ log }) => {
        const readers = [follow(log, ALL_SLOTS), follow(log, ALL_SLOTS)];
        await appendMany(log, { count: 1 });
        for (const reader of readers) {
          expect(await reader.next()).toEqual([streamKey(STREAM)]);
          reader.stop();
        }
      }),
    );

    it(
      "loses no wake-up while a reader is busy: one that reads and waits in turn sees every event",
      onLog(open, async ({ log }) => {
        const streams: Stream[] = [STREAM, OTHER, streamElsewhere()];
        const total = 300;
        const reader = readEverything(log, total);
        for (let i = 0; i < total; i++) await log.append([entryOf({ stream: streams[i % 3]!, id: `e${i}` })]);
        expect(await reader).toBe(total);
      }),
    );

    it(
      "loses no wake-up that comes while another is being taken",
      onLog(open, async ({ log }) => {
        const streams: Stream[] = [STREAM, OTHER];
        const arrivals = follow(log, ALL_SLOTS);
        for (let round = 0; round < 200; round++) {
          const appends = streams.map(async (stream, i) => {
            // Shifts the second append over the instants of the first one's announcement.
            for (let tick = 0; tick < i * (round % 20); tick++) await Promise.resolve();
            await log.append([entryOf({ stream, id: `e${round}` })]);
          });
          const missing = new Set(streams.map(streamKey));
          while (missing.size > 0) for (const key of (await arrivals.next()) ?? []) missing.delete(key);
          await Promise.all(appends);
        }
        expect((await log.bounds(OTHER)).end).toBe(200);
        arrivals.stop();
      }),
    );

    it(
      "ends when the signal aborts, also while waiting",
      onLog(open, async ({ log }) => {
        const arrivals = follow(log, ALL_SLOTS);
        const waiting = arrivals.next();
        arrivals.stop();
        expect(await waiting).toBeUndefined();
      }),
    );
  });
}

/** Arrivals as keys, one yield at a time; undefined at the end. */
function follow(log: IngestionLog, slots: ReadonlySet<number>) {
  const controller = new AbortController();
  const iterator = log.arrivals(slots, controller.signal)[Symbol.asyncIterator]();
  return {
    next: async (): Promise<string[] | undefined> => {
      const { done, value } = await iterator.next();
      return done === true ? undefined : value.map(streamKey);
    },
    stop: () => controller.abort(),
  };
}

/** What a worker does: wait, read the announced streams to their ends, wait again. */
async function readEverything(log: IngestionLog, total: number): Promise<number> {
  const controller = new AbortController();
  const next = new Map<string, number>();
  let seen = 0;
  for await (const streams of log.arrivals(ALL_SLOTS, controller.signal)) {
    for (const stream of streams) {
      const from = next.get(streamKey(stream)) ?? 0;
      const entries = await log.read(stream, from, ALL);
      next.set(streamKey(stream), from + entries.length);
      seen += entries.length;
    }
    if (seen >= total) break;
  }
  controller.abort();
  return seen;
}
