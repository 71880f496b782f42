import { expect, test } from "vitest";
import { systemClock } from "./system-clock.ts";

test("a sleep ends at once, without an error, when it is aborted", async () => {
  const stop = new AbortController();
  const before = systemClock.monotonic();
  const sleeping = systemClock.sleep(60_000, stop.signal);
  stop.abort();
  await sleeping;
  await systemClock.sleep(60_000, stop.signal);
  expect(systemClock.monotonic() - before).toBeLessThan(10_000);
});

test("a sleep lasts", async () => {
  const before = systemClock.monotonic();
  await systemClock.sleep(20);
  expect(systemClock.monotonic() - before).toBeGreaterThanOrEqual(19);
});

test("tells the wall time", () => {
  expect(Math.abs(systemClock.now() - Date.now())).toBeLessThan(1_000);
});
