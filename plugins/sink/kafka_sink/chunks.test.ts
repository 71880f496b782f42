import { expect, test } from "vitest";
import { eventOf, eventsOf } from "../../../tests/helpers/sink-events.ts";
import { chunksOf, halvesOf } from "./chunks.ts";
import { recordBytes, recordOf } from "./record.ts";

const OPTIONS = { topic: "t", key: "event_id", value: "payload" } as const;
const records = eventsOf(100).map((event) => recordOf(event, OPTIONS));

test("no chunk is larger than allowed, none smaller than need be, and together they are all, in order", () => {
  const bytesMax = 3_000;
  const chunks = chunksOf(records, bytesMax);
  const sizes = chunks.map((chunk) => chunk.records.reduce((sum, record) => sum + recordBytes(record), 0));
  expect(Math.max(...sizes)).toBeLessThanOrEqual(bytesMax);
  sizes.slice(0, -1).forEach((size, i) => {
    const next = chunks[i + 1]?.records[0];
    expect(next && size + recordBytes(next)).toBeGreaterThan(bytesMax);
  });
  expect(chunks.flatMap((chunk) => chunk.records)).toEqual(records);
  expect(chunks.map(({ from }) => records[from])).toEqual(chunks.map((chunk) => chunk.records[0]));
});

test("a record that is too large by itself stands alone", () => {
  const large = recordOf(eventOf(1, JSON.stringify({ text: "x".repeat(5_000) })), OPTIONS);
  const [first, second] = records as [(typeof records)[number], (typeof records)[number]];
  expect(chunksOf([first, large, second], 3_000).map((chunk) => chunk.records)).toEqual([[first], [large], [second]]);
  expect(chunksOf([], 3_000)).toEqual([]);
});

test("halves are the chunk again, the second first", () => {
  const halves = halvesOf({ from: 10, records: records.slice(0, 5) });
  expect(halves).toEqual([
    { from: 12, records: records.slice(2, 5) },
    { from: 10, records: records.slice(0, 2) },
  ]);
});
