import { expect, test } from "vitest";
import { SimClock } from "../tests/helpers/sim-clock.ts";
import { Teardown } from "./teardown.ts";

function setUp(graceMs = 10_000) {
  const clock = new SimClock();
  const cut: unknown[] = [];
  const note = () => {};
  const logger = { debug: note, info: note, error: note, warn: (fields: { part?: unknown }) => cut.push(fields.part) };
  return { clock, cut, teardown: new Teardown({ graceMs, clock, logger }) };
}

const never = () => new Promise<void>(() => {});

test("stops in reverse order, once", async () => {
  const { teardown, cut } = setUp();
  const stopped: string[] = [];
  for (const name of ["a", "b", "c"]) teardown.add({ name, share: 0.1, stop: () => void stopped.push(name) });
  await Promise.all([teardown.run(), teardown.run()]);
  expect([stopped, cut]).toEqual([["c", "b", "a"], []]);
});

test("leaves behind what hangs, names it, and ends within the grace whatever hangs", async () => {
  const { clock, teardown, cut } = setUp();
  for (const name of ["log", "deliveries", "requests"]) teardown.add({ name, share: 0.2, stop: never });
  let over = false;
  void teardown.run().then(() => (over = true));
  await clock.runUntil(() => over, 10_000);
  expect(cut).toEqual(["requests", "deliveries", "log"]);
});

test("keeps each step its share, whatever those before it took", async () => {
  const { clock, teardown } = setUp();
  const deadlines: number[] = [];
  const note = async (deadlineMs: number) => void deadlines.push(deadlineMs);
  teardown.add({ name: "database", share: 0.2, stop: note });
  teardown.add({ name: "log", share: 0.3, stop: note });
  teardown.add({ name: "deliveries", share: 0.1, stop: never });
  let over = false;
  void teardown.run().then(() => (over = true));
  await clock.runUntil(() => over, 10_000);
  // 9 s in all, of which 2 and 3 are kept; the hanging one was 100 ms late.
  expect(deadlines).toEqual([3_000, 4_900]);
});

test("gives a step no more than its most, however much is left", async () => {
  const { teardown } = setUp();
  const deadlines: number[] = [];
  teardown.add({ name: "requests", share: 0.1, shareMax: 0.5, stop: (deadlineMs) => void deadlines.push(deadlineMs) });
  await teardown.run();
  expect(deadlines).toEqual([5_000]);
});

test("a step that fails does not keep the others from running, and is told", async () => {
  const { teardown } = setUp();
  const stopped: string[] = [];
  teardown.add({ name: "first", share: 0.1, stop: () => void stopped.push("first") });
  teardown.add({ name: "rejects", share: 0.1, stop: () => Promise.reject(new Error("no")) });
  teardown.add({
    name: "throws",
    share: 0.1,
    stop() {
      throw new Error("thrown");
    },
  });
  await expect(teardown.run()).rejects.toThrow("thrown");
  expect(stopped).toEqual(["first"]);
});

test("stops what a start under way still adds", async () => {
  const { teardown } = setUp();
  const stopped: string[] = [];
  teardown.add({
    name: "the start",
    share: 0.1,
    async stop() {
      teardown.add({ name: "late", share: 0.1, stop: () => void stopped.push("late") });
    },
  });
  await teardown.run();
  expect(stopped).toEqual(["late"]);
});
