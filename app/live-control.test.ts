import { expect, test } from "vitest";
import { openMemoryLog } from "../drivers/memory/index.ts";
import { SimClock } from "../tests/helpers/sim-clock.ts";
import { silentLogger } from "../tests/helpers/worker-bench.ts";
import { followControl } from "./live-control.ts";
import type { LiveControl } from "./live-control.ts";

const clock = new SimClock();

/** A process that counts how often it read what operators changed. */
async function process(control: Parameters<typeof followControl>[0]["control"], changesAt?: () => number | undefined) {
  const seen = { loads: 0 };
  const load = async (): Promise<number | undefined> => {
    seen.loads += 1;
    return changesAt?.();
  };
  const live = await followControl({ control, clock, logger: silentLogger, load });
  return { live, seen };
}

async function stopAll(...lives: readonly LiveControl[]): Promise<void> {
  const stopped = Promise.all(lives.map((live) => live.stop()));
  await clock.advance(0);
  await stopped;
}

test("a change counts here when it is made, and elsewhere within five seconds", async () => {
  const { control } = openMemoryLog({ clock });
  const [here, there] = [await process(control), await process(control)];
  const changed = here.live.changed();
  await clock.advance(0);
  await changed;
  expect(here.seen.loads).toBe(2);
  expect(there.seen.loads).toBe(1);
  await clock.advance(5_000);
  expect(there.seen.loads).toBe(2);
  await stopAll(here.live, there.live);
});

test("without changes nothing is read again, and what ends by itself is seen when it does", async () => {
  const { control } = openMemoryLog({ clock });
  let endsAt: number | undefined = clock.now() + 10_000;
  const { live, seen } = await process(control, () => endsAt);
  await clock.advance(9_000);
  expect(seen.loads).toBe(1);
  endsAt = undefined;
  await clock.advance(2_000);
  expect(seen.loads).toBe(2);
  await clock.advance(60_000);
  expect(seen.loads).toBe(2);
  await stopAll(live);
});
