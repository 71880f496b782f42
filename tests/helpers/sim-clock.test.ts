import { expect, it } from "vitest";
import { SimClock, seededRandom } from "./sim-clock.ts";

it("wakes sleepers in the order of their times, and equal ones in the order of their calls", async () => {
  const clock = new SimClock();
  const woken: string[] = [];
  for (const [name, ms] of Object.entries({ late: 20, first: 10, second: 10, never: 31 })) {
    void clock.sleep(ms).then(() => woken.push(`${name} ${clock.monotonic()}`));
  }
  await clock.advance(30);
  expect(woken).toEqual(["first 10", "second 10", "late 20"]);
  expect([clock.monotonic(), clock.sleeping]).toEqual([30, 1]);
});

it("wakes one that fell asleep because another woke, within the same advance", async () => {
  const clock = new SimClock();
  let woken = 0;
  void clock.sleep(10).then(async () => {
    await clock.sleep(10);
    woken = clock.monotonic();
  });
  await clock.advance(20);
  expect(woken).toBe(20);
});

it("ends a sleep when its signal aborts, without time passing", async () => {
  const clock = new SimClock();
  const controller = new AbortController();
  const asleep = clock.sleep(10, controller.signal);
  controller.abort();
  await asleep;
  await clock.sleep(10, controller.signal);
  expect([clock.monotonic(), clock.sleeping]).toEqual([0, 0]);
});

it("steps the wall clock without waking anybody", async () => {
  const clock = new SimClock(1_000);
  void clock.sleep(10);
  clock.stepWall(-500);
  expect([clock.now(), clock.monotonic(), clock.sleeping]).toEqual([500, 0, 1]);
  await clock.advance(10);
  expect([clock.now(), clock.sleeping]).toEqual([510, 0]);
});

it("runs until a condition holds, and says so when it never will", async () => {
  const clock = new SimClock();
  let done = false;
  void clock.sleep(5_000).then(() => (done = true));
  await clock.runUntil(() => done, 10_000);
  expect(clock.monotonic()).toBe(5_000);
  await expect(clock.runUntil(() => false, 10_000)).rejects.toThrow("nothing is left to happen");
  void clock.sleep(20_000);
  await expect(clock.runUntil(() => false, 10_000)).rejects.toThrow("after 10000 ms");
});

it("gives the same numbers for the same seed, spread over [0, 1)", () => {
  const [a, b] = [seededRandom(7), seededRandom(7)];
  const numbers = Array.from({ length: 1_000 }, () => a());
  expect(Array.from({ length: 1_000 }, () => b())).toEqual(numbers);
  expect(numbers.every((n) => n >= 0 && n < 1)).toBe(true);
  expect(numbers.filter((n) => n < 0.5).length).toBeGreaterThan(400);
  expect(numbers.filter((n) => n < 0.5).length).toBeLessThan(600);
});
