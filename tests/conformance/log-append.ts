import { contentOf, receivedAtOf as stampedAt } from "../../core/canonical/codec.ts";
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
  sequenceOf,
} from "./log-fixtures.ts";

export function appendConformance(open: () => Promise<LogUnderTest>): void {
  describe("append", () => {
    it(
      "gives dense sequences from 0, in the order of the entries and of the calls",
      onLog(open, async ({ log }) => {
        expect(await appendMany(log, { count: 3, prefix: "a" })).toEqual([0, 1, 2]);
        expect(await appendMany(log, { count: 2, prefix: "b" })).toEqual([3, 4]);
        expect((await readAll(log)).map(idOf)).toEqual(["a0", "a1", "a2", "b0", "b1"]);
        expect(await log.bounds(STREAM)).toEqual({ first: 0, end: 5 });
      }),
    );

    it(
      "counts each stream by itself when one call mixes them",
      onLog(open, async ({ log }) => {
        const second = { ...STREAM, partition: 1 };
        const streams = [STREAM, OTHER, second, STREAM, second];
        const results = await log.append(streams.map((stream, i) => entryOf({ stream, id: `e${i}` })));
        expect(results.map(sequenceOf)).toEqual([0, 0, 0, 1, 1]);
        expect((await readAll(log, STREAM)).map(idOf)).toEqual(["e0", "e3"]);
        expect((await readAll(log, second)).map(idOf)).toEqual(["e2", "e4"]);
        expect((await readAll(log, OTHER)).map(idOf)).toEqual(["e1"]);
      }),
    );

    it(
      "gives every one of many concurrent calls its own place, without gaps",
      onLog(open, async ({ log }) => {
        const results = await Promise.all(Array.from({ length: 500 }, (_, i) => appendOne(log, { id: `e${i}` })));
        expect(results.map(sequenceOf).sort((a, b) => a - b)).toEqual(Array.from({ length: 500 }, (_, i) => i));
        const stored = await readAll(log);
        for (const [i, result] of results.entries()) expect(idOf(stored[sequenceOf(result)]!)).toBe(`e${i}`);
      }),
    );

    it(
      "has nothing to do for an empty call",
      onLog(open, async ({ log }) => {
        expect(await log.append([])).toEqual([]);
      }),
    );

    it(
      "is readable at once when append has resolved",
      onLog(open, async ({ log }) => {
        for (let i = 0; i < 50; i++) {
          const sequence = sequenceOf(await appendOne(log, { id: `e${i}` }));
          expect((await log.read(STREAM, sequence, ALL)).map(idOf)).toEqual([`e${i}`]);
        }
      }),
    );

    it(
      "stamps the stored bytes with the time that it answers and leaves the content as it came",
      onLog(open, async ({ log }) => {
        const payload = '{"big":12345678901234567890.10,"b":1,"a":"\\u00e9é"}';
        const content = Buffer.from(contentOf(entryOf({ id: "e1", payload }).bytes));
        const result = await appendOne(log, { id: "e1", payload });
        const [stored] = await readAll(log);
        expect(stored?.receivedAt).toBe(receivedAtOf(result));
        expect(stampedAt(stored!.bytes)).toBe(receivedAtOf(result));
        expect(contentOf(stored!.bytes).equals(content)).toBe(true);
        // No occurred_at was given: it is the time of acceptance.
        const event = JSON.parse(stored!.bytes.toString()) as { occurred_at: string; received_at: string };
        expect(event.occurred_at).toBe(event.received_at);
      }),
    );

    it(
      "never lets received_at fall within a stream, even when the clock is set back",
      onLog(open, async (session) => {
        const times: number[] = [];
        for (const [i, step] of [0, 5_000, -60_000, 1, 120_000, -1].entries()) {
          await session.advance(step);
          times.push(receivedAtOf(await appendOne(session.log, { id: `e${i}` })));
        }
        expect(times).toEqual([...times].sort((a, b) => a - b));
        expect((await readAll(session.log)).map((entry) => entry.receivedAt)).toEqual(times);
      }),
    );

    it(
      "never lets received_at fall across a reopening with the clock set back",
      onLog(open, async (session) => {
        const before = receivedAtOf(await appendOne(session.log, { id: "e1" }));
        await session.reopen();
        await session.advance(-3_600_000);
        expect(receivedAtOf(await appendOne(session.log, { id: "e2" }))).toBeGreaterThanOrEqual(before);
      }),
    );

    it(
      "keeps everything, and goes on counting, after reopening",
      onLog(open, async (session) => {
        await appendMany(session.log, { count: 100 });
        await appendMany(session.log, { stream: OTHER, count: 3 });
        const before = await readAll(session.log);
        await session.reopen();
        const after = await readAll(session.log);
        expect(after.map(({ sequence, receivedAt }) => ({ sequence, receivedAt }))).toEqual(
          before.map(({ sequence, receivedAt }) => ({ sequence, receivedAt })),
        );
        for (const [i, entry] of after.entries()) expect(entry.bytes.equals(before[i]!.bytes)).toBe(true);
        expect(sequenceOf(await appendOne(session.log, { id: "next" }))).toBe(100);
        expect(sequenceOf(await appendOne(session.log, { stream: OTHER, id: "next" }))).toBe(3);
      }),
    );

    it(
      "takes events of 1 MiB, alone and many in a row, byte for byte",
      onLog(open, async (session) => {
        const payloads = Array.from({ length: 8 }, (_, i) => `{"x":"${String(i).repeat(1 << 20)}"}`);
        for (const [i, payload] of payloads.entries()) {
          expect(sequenceOf(await appendOne(session.log, { id: `e${i}`, payload }))).toBe(i);
        }
        await session.reopen();
        const stored = await readAll(session.log);
        for (const [i, payload] of payloads.entries()) {
          expect(contentOf(stored[i]!.bytes).equals(contentOf(entryOf({ id: `e${i}`, payload }).bytes))).toBe(true);
        }
      }),
    );

    it(
      "keeps 2,000 streams apart",
      onLog(open, async (session) => {
        const streams = Array.from({ length: 2_000 }, (_, i) => ({ tenantId: `t${i}`, partition: i % 3 }));
        for (const round of [0, 1]) {
          const results = await session.log.append(streams.map((stream) => entryOf({ stream, id: `e${round}` })));
          expect(results.map(sequenceOf).every((sequence) => sequence === round)).toBe(true);
        }
        await session.reopen();
        for (const stream of streams) {
          expect((await readAll(session.log, stream)).map(idOf)).toEqual(["e0", "e1"]);
          expect(await session.log.bounds(stream)).toEqual({ first: 0, end: 2 });
        }
      }),
    );

    it(
      "answers a probe, which leaves no event behind",
      onLog(open, async ({ log }) => {
        await log.probe();
        await log.probe();
        expect(await log.bounds(STREAM)).toEqual({ first: 0, end: 0 });
      }),
    );

    it(
      "refuses to take events once closed",
      onLog(open, async ({ log }) => {
        await appendOne(log, { id: "e1" });
        await log.close();
        await expect(appendOne(log, { id: "e2" })).rejects.toThrow();
        await expect(log.probe()).rejects.toThrow();
      }),
    );
  });
}
