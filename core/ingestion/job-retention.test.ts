import { expect, test } from "vitest";
import { openMemoryLog } from "../../drivers/memory/index.ts";
import { SimClock } from "../../tests/helpers/sim-clock.ts";
import { createJobControl } from "./job-control.ts";
import { KEPT_MAX } from "./job-retention.ts";
import type { TenantConfig } from "./revision.ts";

const DAY_MS = 86_400_000;

function setUp() {
  const clock = new SimClock();
  const log = openMemoryLog({ clock });
  const tenants = ["a", "b"].map((id): TenantConfig => {
    return { id, keys: [], partitions: 1, weight: 1, transforms: [], sinks: [] };
  });
  const process = () => {
    const parts = { reader: log, lanes: log, control: log.control, clock, random: Math.random };
    return createJobControl({ ...parts, revision: () => ({ tenants }) });
  };
  const control = process();
  const create = async (tenantId = "a") => {
    const { job } = await control.create({ kind: "replay", tenantId, selection: {}, rate: { idleShare: 1 } });
    return job.id;
  };
  const left = async () => (await control.list()).map(({ job }) => job.id).toSorted();
  return { clock, log, control, process, create, left };
}

test("a job is forgotten thirty days after its end, one that is under way never", async () => {
  const { clock, control, create, left } = setUp();
  const [ended, running, paused] = [await create(), await create(), await create()];
  await control.start(running);
  await control.start(paused);
  await control.pause(paused);
  await clock.advance(10 * DAY_MS);
  await control.cancel(ended).catch(() => undefined);
  await clock.advance(30 * DAY_MS - 1);
  expect(await control.forget()).toBe(0);
  await clock.advance(2);
  expect(await control.forget()).toBe(1);
  expect(await left()).toEqual([running, paused].toSorted());
  await expect(control.get(ended)).rejects.toMatchObject({ code: "not_found" });
});

test("a plan that nobody started is forgotten thirty days after it could have been", async () => {
  const { clock, control, create, left } = setUp();
  await create();
  await clock.advance(31 * DAY_MS - 1);
  expect(await control.forget()).toBe(0);
  await clock.advance(2);
  expect(await control.forget()).toBe(1);
  expect(await left()).toEqual([]);
});

test("of one tenant's jobs the newest are kept, and none of another's gives way for them", async () => {
  const { clock, control, create, left } = setUp();
  const quiet = await create("b");
  await control.cancel(quiet);
  const ids: string[] = [];
  for (let i = 0; i < KEPT_MAX + 3; i++) {
    await clock.advance(10);
    const id = await create();
    await control.cancel(id);
    ids.push(id);
  }
  expect(await control.forget()).toBe(3);
  expect(await left()).toEqual([...ids.slice(3), quiet].toSorted());
});

test("what another process has changed or forgotten meanwhile is left to it", async () => {
  const { clock, log, control, process, create, left } = setUp();
  const ids = [await create(), await create()];
  await control.cancel(ids[0]!);
  await control.start(ids[1]!);
  const other = process();
  await other.step();
  await clock.advance(31 * DAY_MS);
  expect((await Promise.all([control.forget(), other.forget()])).reduce((a, b) => a + b)).toBe(2);
  expect(await left()).toEqual([]);
  expect(await log.control.list("jobs/")).toEqual([]);
  expect(await other.step()).toEqual([]);
});
