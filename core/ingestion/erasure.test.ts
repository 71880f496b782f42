import { expect, test } from "vitest";
import { openMemoryLog } from "../../drivers/memory/index.ts";
import { appendMany, STREAM } from "../../tests/conformance/log-fixtures.ts";
import { SimClock } from "../../tests/helpers/sim-clock.ts";
import { chooseEvents, type ErasureSelection } from "./erasure.ts";

test.each([
  ["from a time on, that time included", { receivedFrom: 1_000 }, [3, 4, 5, 6, 7, 8]],
  ["before a time, that time excluded", { receivedTo: 2_000 }, [0, 1, 2, 3, 4, 5]],
  ["between two times", { receivedFrom: 1_000, receivedTo: 2_000 }, [3, 4, 5]],
  ["before the first", { receivedTo: 0 }, []],
])("chooses what was accepted %s", async (_when, range, sequences) => {
  const clock = new SimClock();
  const startedAt = clock.now();
  const log = openMemoryLog({ clock });
  for (const prefix of ["a", "b", "c"]) {
    await appendMany(log, { count: 3, prefix });
    await clock.advance(1_000);
  }
  const times = Object.entries(range).map(([name, ms]) => [name, startedAt + ms]);
  const selection: ErasureSelection = { filter: "true", ...Object.fromEntries(times) };
  const chosen = await chooseEvents({ reader: log }, { streams: [STREAM], selection });
  expect(chosen.flatMap((one) => one.sequences)).toEqual(sequences);
});
