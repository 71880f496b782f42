import type { Appended } from "../../core/ingestion/log.ts";
import { describe, expect, it } from "vitest";
import type { LogUnderTest } from "./log-under-test.ts";
import {
  OTHER,
  STREAM,
  appendMany,
  appendOne,
  entryOf,
  onLog,
  readAll,
  receivedAtOf,
  sequenceOf,
} from "./log-fixtures.ts";

const CONFLICT_ID = { type: "conflict", field: "event_id", eventId: "e1" };
const CONFLICT_KEY = { type: "conflict", field: "idempotency_key", eventId: "e1" };

export function dedupConformance(open: () => Promise<LogUnderTest>): void {
  describe("deduplication", () => {
    it(
      "answers a repeated event id with the place and time of the first",
      onLog(open, async ({ log, advance }) => {
        await appendMany(log, { count: 2, prefix: "other" });
        const first = await appendOne(log, { id: "e1" });
        await advance(1_000);
        await appendOne(log, { id: "between" });
        expect(await appendOne(log, { id: "e1" })).toEqual(duplicateOf(first, "e1"));
        expect((await log.bounds(STREAM)).end).toBe(4);
      }),
    );

    it(
      "answers a repeated idempotency key with the first event, whatever id the repeat has",
      onLog(open, async ({ log }) => {
        const first = await appendOne(log, { id: "e1", key: "k1" });
        expect(await appendOne(log, { id: "e2", key: "k1" })).toEqual(duplicateOf(first, "e1"));
        expect((await log.bounds(STREAM)).end).toBe(1);
        // e2 was never stored, so it is free.
        expect(sequenceOf(await appendOne(log, { id: "e2" }))).toBe(1);
      }),
    );

    it(
      "finds the first event of a key in another partition of the tenant",
      onLog(open, async ({ log }) => {
        const elsewhere = { ...STREAM, partition: 1 };
        await appendMany(log, { count: 3, prefix: "other" });
        const first = await appendOne(log, { id: "e1", key: "k1" });
        const repeat = await appendOne(log, { stream: elsewhere, id: "e2", key: "k1" });
        expect(repeat).toEqual(duplicateOf(first, "e1"));
        expect((await log.bounds(elsewhere)).end).toBe(0);
      }),
    );

    it(
      "keeps ids and keys apart: a key may look like another event's id",
      onLog(open, async ({ log }) => {
        await appendOne(log, { id: "same", key: "k1" });
        expect(sequenceOf(await appendOne(log, { id: "e2", key: "same" }))).toBe(1);
        expect(sequenceOf(await appendOne(log, { id: "k1" }))).toBe(2);
      }),
    );

    it(
      "calls other content under a taken id or key a conflict, and stores nothing",
      onLog(open, async ({ log }) => {
        await appendOne(log, { id: "e1", key: "k1" });
        expect(await appendOne(log, { id: "e1", payload: '{"n":2}' })).toEqual(CONFLICT_ID);
        expect(await appendOne(log, { id: "e1", type: "order_void" })).toEqual(CONFLICT_ID);
        expect(await appendOne(log, { id: "e2", key: "k1", payload: '{"n":2}' })).toEqual(CONFLICT_KEY);
        expect((await log.bounds(STREAM)).end).toBe(1);
      }),
    );

    it(
      "names the key when both id and key are taken by the same event: the id may be made of the key",
      onLog(open, async ({ log }) => {
        const other = { id: "e1", key: "k1", payload: '{"n":2}' };
        const [, inOneCall] = await log.append([entryOf({ id: "e1", key: "k1" }), entryOf(other)]);
        expect(inOneCall).toEqual(CONFLICT_KEY);
        expect(await appendOne(log, other)).toEqual(CONFLICT_KEY);
        expect(await appendOne(log, { ...other, key: "k2" })).toEqual(CONFLICT_ID);
      }),
    );

    it(
      "recognises repeats among the entries of one call",
      onLog(open, async ({ log }) => {
        const [first, byId, byKey, conflict, fresh] = await log.append([
          entryOf({ id: "e1", key: "k1" }),
          entryOf({ id: "e1" }),
          entryOf({ id: "e2", key: "k1" }),
          entryOf({ id: "e1", payload: '{"n":2}' }),
          entryOf({ id: "e3" }),
        ]);
        expect(sequenceOf(first!)).toBe(0);
        expect(byId).toEqual(duplicateOf(first!, "e1"));
        expect(byKey).toEqual(duplicateOf(first!, "e1"));
        expect(conflict).toEqual(CONFLICT_ID);
        expect(sequenceOf(fresh!)).toBe(1);
      }),
    );

    it(
      "makes one event of 1,000 concurrent appends under one key",
      onLog(open, async ({ log }) => {
        const results = await Promise.all(
          Array.from({ length: 1_000 }, (_, i) => appendOne(log, { id: `e${i}`, key: "k1" })),
        );
        const stored = results.filter(({ type }) => type === "appended");
        expect(stored).toHaveLength(1);
        const winner = `e${results.indexOf(stored[0]!)}`;
        expect(results.filter(({ type }) => type !== "appended")).toEqual(
          Array.from({ length: 999 }, () => duplicateOf(stored[0]!, winner)),
        );
        expect(await readAll(log)).toHaveLength(1);
      }),
    );

    it(
      "makes one event of 1,000 concurrent appends of one id",
      onLog(open, async ({ log }) => {
        const results = await Promise.all(Array.from({ length: 1_000 }, () => appendOne(log, { id: "e1" })));
        expect(results.filter(({ type }) => type === "appended")).toHaveLength(1);
        expect(results.filter(({ type }) => type === "duplicate")).toHaveLength(999);
        expect(await readAll(log)).toHaveLength(1);
      }),
    );

    it(
      "never mixes tenants: the same id and key in two tenants are two events",
      onLog(open, async ({ log }) => {
        expect(sequenceOf(await appendOne(log, { stream: STREAM, id: "e1", key: "k1" }))).toBe(0);
        const other = await appendOne(log, { stream: OTHER, id: "e1", key: "k1", payload: '{"n":2}' });
        expect(sequenceOf(other)).toBe(0);
        expect(await log.find(OTHER.tenantId, "e1")).toMatchObject({ stream: OTHER, sequence: 0 });
        expect(await log.find(STREAM.tenantId, "e1")).toMatchObject({ stream: STREAM, sequence: 0 });
      }),
    );

    it(
      "remembers ids and keys across a reopening",
      onLog(open, async (session) => {
        const first = await appendOne(session.log, { id: "e1", key: "k1" });
        await session.reopen();
        expect(await appendOne(session.log, { id: "e1" })).toEqual(duplicateOf(first, "e1"));
        expect(await appendOne(session.log, { id: "e2", key: "k1" })).toEqual(duplicateOf(first, "e1"));
        expect(await appendOne(session.log, { id: "e1", payload: '{"n":2}' })).toEqual(CONFLICT_ID);
      }),
    );

    it(
      "remembers ids for the whole window and takes them as new well after it",
      onLog(open, async (session) => {
        const first = await appendOne(session.log, { id: "e1", key: "k1" });
        await session.advance(session.windowMs - 1_000);
        expect(await appendOne(session.log, { id: "e1" })).toEqual(duplicateOf(first, "e1"));
        expect(await appendOne(session.log, { id: "e2", key: "k1" })).toEqual(duplicateOf(first, "e1"));
        await session.advance(session.windowMs + 2_000);
        const second = await appendOne(session.log, { id: "e1", key: "k1", payload: '{"n":2}' });
        expect(sequenceOf(second)).toBe(1);
        // From now on the id means the newer event.
        expect(await appendOne(session.log, { id: "e1", payload: '{"n":2}' })).toEqual(duplicateOf(second, "e1"));
        expect((await session.log.find(STREAM.tenantId, "e1"))?.sequence).toBe(1);
      }),
    );

    it(
      "recognises a trimmed event within the window",
      onLog(open, async ({ log }) => {
        const filler = `{"x":"${"x".repeat(1 << 20)}"}`;
        const first = await appendOne(log, { id: "e1", key: "k1" });
        for (let i = 0; i < 8; i++) await appendOne(log, { id: `filler${i}`, payload: filler });
        await log.trim(STREAM, 9);
        expect(await appendOne(log, { id: "e1" })).toEqual(duplicateOf(first, "e1"));
        expect(await appendOne(log, { id: "e2", key: "k1" })).toEqual(duplicateOf(first, "e1"));
      }),
    );

    it(
      "tells thousands of ids apart, all of them new, all of them known afterwards",
      onLog(open, async (session) => {
        const ids = Array.from({ length: 5_000 }, (_, i) => `id-${i}`);
        const fresh = await session.log.append(ids.map((id) => entryOf({ id })));
        expect(fresh.every(({ type }) => type === "appended")).toBe(true);
        await session.reopen();
        const again = await session.log.append(ids.map((id) => entryOf({ id })));
        expect(again).toEqual(fresh.map((first, i) => duplicateOf(first, ids[i]!)));
      }),
    );
  });
}

function duplicateOf(first: Appended, eventId: string): Appended {
  const place = { sequence: sequenceOf(first), receivedAt: receivedAtOf(first) };
  return { type: "duplicate", stream: STREAM, eventId, ...place };
}
