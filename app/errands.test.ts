import { beforeEach, expect, test } from "vitest";
import { PulseGateError } from "../core/canonical/errors.ts";
import { readDocument } from "../core/ingestion/control.ts";
import { openMemoryLog } from "../drivers/memory/index.ts";
import type { MemoryLog } from "../drivers/memory/index.ts";
import { SimClock } from "../tests/helpers/sim-clock.ts";
import { type Errand, Errands, valuesOf } from "./errands.ts";
import { askedWorkers } from "./lane-actions.ts";
import { type Places, takePlace } from "./places.ts";
import type { Role } from "./roles.ts";

const logger = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} };
const SKIP = { lane: { stream: { tenantId: "shop", partition: 0 }, sink: "raw" }, sequence: 7, reason: "poison" };

let clock: SimClock;
let log: MemoryLog;
let all: Process[];

interface Process {
  readonly errands: Errands;
  readonly place: Places;
}

beforeEach(() => {
  clock = new SimClock();
  log = openMemoryLog({ clock });
  all = [];
});

/** A process in its place, which looks whenever one tells. */
async function start(role: Role, perform: (errand: Errand) => Promise<unknown>): Promise<Process> {
  const instance = `${role}-${all.length}`;
  const { control } = log;
  const tell = async () => void (await Promise.all(all.map(({ errands }) => errands.look())));
  const process = {
    errands: new Errands({ control, instance, perform, tell, clock, logger }),
    place: await takePlace({ control, instance, role, clock, logger }),
  };
  all.push(process);
  return process;
}

const fails = (code: "overloaded" | "conflict", message: string) => async (): Promise<never> => {
  throw new PulseGateError(code, message);
};
const none = async (): Promise<void> => {};
const never = (): Promise<never> => new Promise(() => {});
const isWorker = (role: Role): boolean => role === "worker";
const look = { errand: { type: "look" }, withinMs: 10_000 } as const;

async function open(): Promise<unknown> {
  return (await readDocument(log.control, "errands")).value;
}

/** Time goes on until it is settled. */
async function inTime<T>(promise: Promise<T>): Promise<T> {
  const state = { isOpen: true };
  const settled = promise.finally(() => (state.isOpen = false));
  settled.catch(() => {});
  while (state.isOpen) await clock.advance(50);
  return settled;
}

test("every process of the role answers, and nothing is left behind", async () => {
  const admin = await start("admin", never);
  await start("api", never);
  await start("worker", async () => 1);
  await start("worker", async () => 2);
  expect(valuesOf(await inTime(admin.errands.ask({ ...look, of: isWorker })))).toEqual([1, 2]);
  expect(await open()).toEqual({});
});

test("one that is gone is not waited for, one that is slow only so long", async () => {
  const admin = await start("admin", never);
  const gone = await start("worker", never);
  await start("worker", async () => "here");
  const asking = admin.errands.ask({ ...look, of: isWorker });
  await clock.advance(100);
  await gone.place.stop();
  await clock.advance(200);
  expect(valuesOf(await asking)).toEqual(["here"]);

  await start("worker", never);
  const late = admin.errands.ask({ ...look, of: isWorker });
  await clock.advance(look.withinMs + 200);
  expect(valuesOf(await late)).toEqual(["here"]);
  expect(await open()).toEqual({});
});

test("what is asked is done once, however often a process looks", async () => {
  const admin = await start("admin", never);
  let times = 0;
  const worker = await start("worker", async () => {
    times++;
    await worker.errands.look();
    return times;
  });
  expect(valuesOf(await inTime(admin.errands.ask({ ...look, of: isWorker })))).toEqual([1]);
  await worker.errands.look();
  expect(times).toBe(1);
});

test("a skip is done when one worker has the lane; else the reason of whoever has it is told", async () => {
  const admin = await start("admin", none);
  const { skip } = askedWorkers(admin.errands);
  await expect(inTime(skip(SKIP))).rejects.toMatchObject({
    code: "overloaded",
    message: expect.stringContaining("no worker answers"),
  });
  await start("worker", fails("overloaded", "not mine"));
  await expect(inTime(skip(SKIP))).rejects.toMatchObject({ code: "overloaded", message: "not mine" });
  const owner = await start("worker", fails("conflict", "its cursor is at 8"));
  await expect(inTime(skip(SKIP))).rejects.toMatchObject({ code: "conflict", message: "its cursor is at 8" });
  await owner.place.stop();
  await start("worker", none);
  await expect(inTime(skip(SKIP))).resolves.toBeUndefined();
});
