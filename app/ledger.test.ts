import { expect, test } from "vitest";
import type { Logger } from "../core/environment.ts";
import { openMemoryLog } from "../drivers/memory/index.ts";
import { LANE, appendMany } from "../tests/conformance/log-fixtures.ts";
import { SimClock } from "../tests/helpers/sim-clock.ts";
import { measureLedger } from "./ledger.ts";

async function setUp() {
  const log = openMemoryLog({ clock: new SimClock() });
  await appendMany(log, { count: 5 });
  await log.openLane(LANE, "start");
  const told: number[] = [];
  const lines: string[] = [];
  const line = (_fields: unknown, message: string) => void lines.push(message);
  const logger: Logger = { debug: line, info: line, warn: line, error: line };
  return { log, told, lines, metrics: { ledger: (imbalance: number) => void told.push(imbalance) }, logger };
}

test("a ledger that balances is told as 0", async () => {
  const { log, told, lines, metrics, logger } = await setUp();
  await measureLedger({ log, metrics, logger });
  expect(told).toEqual([0]);
  expect(lines).toEqual([]);
});

test("what is missing and what is too much do not make up for one another", async () => {
  const { log, told, lines, metrics, logger } = await setUp();
  const state = { start: 0, cursor: 5, filtered: {}, dead: 0, erased: 0 };
  const lanes = async () => [
    { lane: LANE, state: { ...state, delivered: 3 } },
    { lane: { ...LANE, sink: "copy" }, state: { ...state, delivered: 7 } },
  ];
  await measureLedger({ log: { lanes, bounds: (stream) => log.bounds(stream) }, metrics, logger });
  expect(told).toEqual([4]);
  expect(lines).toHaveLength(2);
});

test("a log that can't be read tells nothing and breaks nothing", async () => {
  const { log, told, lines, metrics, logger } = await setUp();
  await log.close();
  await measureLedger({ log, metrics, logger });
  expect(told).toEqual([]);
  expect(lines).toEqual(["the ledger could not be read"]);
});
