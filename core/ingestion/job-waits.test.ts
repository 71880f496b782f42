import { expect, test } from "vitest";
import { waitingOf, withWaits } from "./job-waits.ts";
import type { Job, JobLaneSight } from "./jobs.ts";
import type { LaneId, LaneState } from "./log.ts";

const laneAt = (partition: number): LaneId => ({ stream: { tenantId: "a", partition }, sink: "raw", job: "j" });
const LANES = [laneAt(0), laneAt(1)];
const JOB: Job = {
  id: "j",
  spec: { kind: "replay", tenantId: "a", selection: {}, rate: { idleShare: 1 } },
  state: "running",
  lanes: LANES.map((lane) => ({ lane, from: 0, to: 10 })),
  events: 20,
  isEstimate: false,
  createdAt: 0,
};
const OUT = { stage: "sink raw", code: "ECONNREFUSED", message: "refused" };
const sight = (partition: number, waitsFor?: typeof OUT): JobLaneSight => ({ lane: laneAt(partition), waitsFor });
const at = (cursor: number): LaneState => ({ start: 0, cursor, delivered: 0, filtered: {}, dead: 0, erased: 0 });
const HALF = [at(5), at(5)];

test("what one process sees leaves what another has seen of other lanes", () => {
  const here = withWaits(JOB, { states: HALF, sights: [sight(0, OUT)], now: 1 });
  const both = withWaits(here, { states: HALF, sights: [sight(1, OUT)], now: 2 });
  expect(waitingOf(both)).toEqual([{ ...OUT, since: 1, sink: "raw", lanes: 2 }]);
  const one = withWaits(both, { states: HALF, sights: [sight(0)], now: 3 });
  expect(waitingOf(one)).toEqual([{ ...OUT, since: 2, sink: "raw", lanes: 1 }]);
  expect(withWaits(one, { states: HALF, sights: [sight(1)], now: 4 }).waits).toBeUndefined();
});

test("nothing new is nothing to write, also when the sink says it in other words", () => {
  expect(withWaits(JOB, { states: HALF, sights: [sight(0), sight(1)], now: 1 })).toBe(JOB);
  const waiting = withWaits(JOB, { states: HALF, sights: [sight(0, OUT)], now: 1 });
  const later = { states: HALF, sights: [sight(0, { ...OUT, message: "timed out" })], now: 9 };
  expect(withWaits(waiting, later)).toBe(waiting);
  expect(withWaits(waiting, { states: HALF, sights: [], now: 9 })).toBe(waiting);
});

test("a lane that is through waits for nothing, whoever saw it last", () => {
  const waiting = withWaits(JOB, { states: HALF, sights: [sight(0, OUT)], now: 1 });
  expect(withWaits(waiting, { states: [at(10), at(5)], sights: [], now: 2 }).waits).toBeUndefined();
});

test("lanes of other jobs, and a job that does not run, tell nothing", () => {
  const other = { lane: { ...laneAt(0), job: "k" }, waitsFor: OUT };
  expect(withWaits(JOB, { states: HALF, sights: [other], now: 1 })).toBe(JOB);
  const waiting = withWaits(JOB, { states: HALF, sights: [sight(0, OUT)], now: 1 });
  expect(waitingOf({ ...waiting, state: "paused" })).toEqual([]);
});
