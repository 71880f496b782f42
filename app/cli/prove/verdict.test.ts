import { expect, test } from "vitest";
import { jainIndex, judge, percentile } from "./verdict.ts";
import type { Sight } from "./victim.ts";

const LIMITS = { doorMax: 1.5, deliveryMax: 2 };
const sight = (accept: number, delivery: number, refused = 0): Sight => {
  return { accept: [accept], delivery: [delivery], refused };
};
const calm = sight(10, 20);

test("passes what stays within both limits", () => {
  const row = judge("flood", [{ before: calm, during: sight(15, 40), after: calm }], LIMITS);
  expect(row).toMatchObject({ passed: true, door: { ratio: 1.5 }, delivery: { ratio: 2 } });
});

test.each([
  ["a door that is slower than it may be", sight(15.1, 20)],
  ["a delivery that is slower than it may be", sight(10, 40.1)],
  ["one refusal", sight(10, 20, 1)],
  [
    "one event that is not delivered",
    { accept: [10, 10], delivery: [...Array<number>(200).fill(20), Infinity], refused: 0 },
  ],
  ["nothing that came through", { accept: [], delivery: [], refused: 0 }],
])("fails for %s", (_what, during) => {
  expect(judge("flood", [{ before: calm, during, after: calm }], LIMITS).passed).toBe(false);
});

test("does not lay at an aggressor's door what a quiet window beside it saw, too", () => {
  const row = judge("flood", [{ before: calm, during: sight(30, 20), after: sight(20, 20) }], LIMITS);
  expect(row.passed).toBe(true);
});

test("one bad round of three is the machine, two are the aggressor", () => {
  const good = { before: calm, during: calm, after: calm };
  const bad = { before: calm, during: sight(100, 20), after: calm };
  expect(judge("flood", [good, bad, good], LIMITS).passed).toBe(true);
  expect(judge("flood", [bad, good, bad], LIMITS).passed).toBe(false);
});

test("compares no times below the machine's own grain", () => {
  const row = judge("flood", [{ before: sight(1, 2), during: sight(4, 4), after: sight(1, 2) }], LIMITS);
  expect(row.passed).toBe(true);
});

test("takes percentiles by rank, and Jain's index from one for all to all for one", () => {
  expect(percentile([4, 1, 3, 2], 0.5)).toBe(2);
  expect(percentile([1, 2, Infinity], 0.99)).toBe(Infinity);
  expect(jainIndex([5, 5, 5, 5])).toBe(1);
  expect(jainIndex([20, 0, 0, 0])).toBe(0.25);
  expect(jainIndex([0, 0])).toBe(0);
});
