import { expect, test } from "vitest";
import { SimClock } from "../../tests/helpers/sim-clock.ts";
import { silentLogger } from "../../tests/helpers/worker-bench.ts";
import { Timers } from "../timers.ts";
import { Resident } from "./resident.ts";
import { type Runner, RunnerDied } from "./runner.ts";

/** One that starts, or hangs in its start, and dies when told. */
function runnerOf(start: Promise<void>) {
  const died = Promise.withResolvers<RunnerDied>();
  const runner = {
    start: () => start,
    died: died.promise,
    transform: async () => undefined,
    deliver: async () => [],
    close: async () => undefined,
  } satisfies Runner;
  return { runner, die: () => died.resolve(new RunnerDied("plugin_crashed", "it died")) };
}

test("a plugin that hangs when it is started again is given up and started once more", async () => {
  const clock = new SimClock();
  const never = new Promise<void>(() => undefined);
  const [first, hanging, third] = [Promise.resolve(), never, Promise.resolve()].map(runnerOf);
  const runners = [first, hanging, third];
  let backs = 0;
  const resident = new Resident({
    make: () => runners.shift()?.runner as Runner,
    timers: new Timers(clock),
    random: () => 0.5,
    logger: silentLogger,
    version: "1.0.0",
    onBack: () => (backs += 1),
  });
  await resident.start({});
  first?.die();
  await clock.advance(20_000);
  expect(resident.runner).toBeUndefined();
  await clock.advance(20_000);
  expect(resident.runner).toBe(third?.runner);
  expect(backs).toBe(1);
});
