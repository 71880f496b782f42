import { expect, test } from "vitest";
import { estimateMsOf, speedOf } from "./job-estimate.ts";
import type { Job, JobSpec } from "./jobs.ts";

const SPEC: JobSpec = { kind: "replay", tenantId: "a", selection: {}, rate: { idleShare: 1 } };
const ended = (change: Partial<Job>): Job => {
  const base = { id: "j", spec: SPEC, state: "done", lanes: [], events: 0, isEstimate: false, createdAt: 0 } as const;
  return { ...base, endedAt: 10, ...change };
};
const COUNTS = { delivered: 0, filtered: 0, failed: 0, erased: 0, notSelected: 0 };

test("a rate tells how long it takes", () => {
  expect(estimateMsOf({ ...SPEC, rate: { eventsPerSecond: 50 } }, { events: 1_000, before: [] })).toBe(20_000);
});

test("without one the latest job of the kind tells, and its share of the time", () => {
  const before = [
    ended({ eventsPerSecond: 100, endedAt: 1 }),
    ended({ eventsPerSecond: 200, endedAt: 2, spec: { ...SPEC, rate: { idleShare: 0.5 } } }),
    ended({ eventsPerSecond: 1, endedAt: 3, spec: { ...SPEC, kind: "redrive" } }),
    ended({ eventsPerSecond: 1, endedAt: 4, spec: { ...SPEC, tenantId: "b" } }),
    ended({ eventsPerSecond: 1, endedAt: 5, spec: { ...SPEC, rate: { eventsPerSecond: 1 } } }),
    ended({ endedAt: 6 }),
  ];
  expect(estimateMsOf(SPEC, { events: 800, before })).toBe(2_000);
  expect(estimateMsOf(SPEC, { events: 800, before: [] })).toBeUndefined();
});

test("speed is measured since a job last began to run, over a second at least", () => {
  const job = ended({ resumed: { at: 5_000, settled: 100, share: 0.1 } });
  expect(speedOf(job, { ...COUNTS, delivered: 500, notSelected: 9_000 }, 7_000)).toBe(200);
  expect(speedOf(job, { ...COUNTS, delivered: 500 }, 5_999)).toBeUndefined();
  expect(speedOf(ended({}), COUNTS, 7_000)).toBeUndefined();
});
