import { expect, test } from "vitest";
import { pausedLanes, putHold } from "../core/ingestion/lane-holds.ts";
import { dropOrphan, isOrphan } from "../core/ingestion/orphans.ts";
import { openMemoryLog } from "../drivers/memory/index.ts";
import { SimClock } from "../tests/helpers/sim-clock.ts";
import { appendEvents, sinkUse, tenant } from "../tests/helpers/worker-bench.ts";
import { measureResting, warnOfOrphans } from "./orphans.ts";

const TENANTS = [tenant("shop", [sinkUse("raw")])];
const lane = (tenantId: string, sink: string) => ({ stream: { tenantId, partition: 0 }, sink });

/** Lanes of a sink that runs, of one that is gone, and of a tenant that is gone; three events each. */
async function setUp() {
  const clock = new SimClock();
  const log = openMemoryLog({ clock });
  for (const one of [lane("shop", "raw"), lane("shop", "old"), lane("gone", "raw")]) await log.openLane(one, "start");
  for (const tenantId of ["shop", "gone"]) await appendEvents(log, tenantId, { count: 3 });
  await clock.advance(5_000);
  const warned: unknown[] = [];
  const measured: unknown[] = [];
  const note = () => {};
  const logger = { debug: note, info: note, error: note, warn: (fields: unknown) => warned.push(fields) };
  const metrics = { lane: (lag: unknown) => measured.push(lag) };
  return { log, warned, measured, options: { log, tenants: () => TENANTS, metrics, clock, logger } };
}

test("a lane is an orphan when its sink or its tenant is not in the configuration", () => {
  const all = [lane("shop", "raw"), lane("shop", "old"), lane("gone", "raw")];
  expect(all.map((one) => isOrphan(one, TENANTS))).toEqual([false, true, true]);
});

test("each orphan is told, with what it keeps", async () => {
  const { warned, options } = await setUp();
  await warnOfOrphans(options);
  expect(warned).toEqual([
    { lane: "shop/0/old", pending: 3 },
    { lane: "gone/0/raw", pending: 3 },
  ]);
});

test("their lags are measured, and those of paused lanes; those of running lanes are not", async () => {
  const { measured, options } = await setUp();
  const orphans = [
    { tenantId: "shop", sink: "old", lagEvents: 3, lagSeconds: 5 },
    { tenantId: "gone", sink: "raw", lagEvents: 3, lagSeconds: 5 },
  ];
  await measureResting({ ...options, paused: () => [] });
  expect(measured.splice(0)).toEqual(orphans);
  await measureResting({ ...options, paused: () => ["shop/0/raw"] });
  expect(measured).toEqual([{ tenantId: "shop", sink: "raw", lagEvents: 3, lagSeconds: 5 }, ...orphans]);
});

test("an orphan can be dropped, a lane in use or unknown can't", async () => {
  const { log } = await setUp();
  const options = { lanes: log, control: log.control, tenants: TENANTS };
  await expect(dropOrphan(lane("shop", "raw"), options)).rejects.toMatchObject({ code: "conflict" });
  await expect(dropOrphan(lane("shop", "nothing"), options)).rejects.toMatchObject({ code: "not_found" });
  expect(await dropOrphan(lane("shop", "old"), options)).toMatchObject({ start: 0, cursor: 0 });
  expect((await log.lanes()).map((one) => one.lane.stream.tenantId)).toEqual(["shop", "gone"]);
});

test("with an orphan goes that it was paused, also when the process dies in between", async () => {
  const { log } = await setUp();
  const [old, other] = [lane("shop", "old"), lane("gone", "raw")];
  for (const one of [old, other]) await putHold(log.control, one, { hold: { paused: true, by: "night", at: 0 } });
  const killed = () => Promise.reject(new Error("killed"));
  const lanes = { loadLane: log.loadLane.bind(log), dropLane: killed };
  for (const dies of [
    { lanes: log, control: { ...log.control, remove: killed } },
    { lanes, control: log.control },
  ])
    await expect(dropOrphan(old, { ...dies, tenants: TENANTS })).rejects.toThrow("killed");
  await dropOrphan(old, { lanes: log, control: log.control, tenants: TENANTS });
  expect(await pausedLanes(log.control)).toEqual(["gone/0/raw"]);
  expect((await log.lanes()).map((one) => one.lane.sink)).toEqual(["raw", "raw"]);
});
