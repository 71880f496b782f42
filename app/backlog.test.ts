import { beforeEach, describe, expect, it } from "vitest";
import { backlogOf } from "../core/ingestion/backlog.ts";
import type { LaneId, Stream } from "../core/ingestion/log.ts";
import { slotOf } from "../core/ingestion/log.ts";
import type { SinkUse, TenantConfig } from "../core/ingestion/revision.ts";
import { createDoor } from "../core/qps/door.ts";
import { type MemoryLog, openMemoryLog } from "../drivers/memory/index.ts";
import { appendMany, STREAM } from "../tests/conformance/log-fixtures.ts";
import { SimClock } from "../tests/helpers/sim-clock.ts";
import { watchBacklog } from "./backlog.ts";

const lane = (sink: string): LaneId => ({ stream: STREAM, sink });
const sink = (id: string, backlog?: SinkUse["backlog"]): SinkUse => ({
  id,
  name: "file_sink",
  config: {},
  retry: { attempts: 1, backoffMinMs: 1, backoffMaxMs: 1, timeoutMs: 1 },
  batch: { eventsMax: 1, bytesMax: 1, lingerMs: 0 },
  windowEvents: 1,
  backlog,
});

function tenant(quota: TenantConfig["quota"], ...sinks: SinkUse[]): TenantConfig {
  return { id: STREAM.tenantId, keys: [], partitions: 1, weight: 1, transforms: [], sinks, quota };
}

let clock: SimClock;
let log: MemoryLog;

beforeEach(async () => {
  clock = new SimClock();
  log = openMemoryLog({ clock });
  for (const id of ["raw", "slow"]) await log.openLane(lane(id), "start");
  await appendMany(log, { count: 10 });
});

async function settle(id: string, to: number): Promise<void> {
  const claims = await log.claims("worker");
  const abort = new AbortController();
  for await (const held of claims.held(abort.signal)) {
    const claim = held.find(({ slot }) => slot === slotOf(STREAM));
    if (claim === undefined) continue;
    const from = (await log.loadLane(lane(id)))?.cursor ?? 0;
    const settlement = { from, to, exceptions: [], configRevision: 1, settledAt: clock.now() };
    await log.commit([{ lane: lane(id), claim, settlement, deadLetters: [] }]);
    break;
  }
  abort.abort();
}

describe("a tenant's backlog", () => {
  it("is what the slowest lane has not settled", async () => {
    await settle("raw", 10);
    await settle("slow", 4);
    const { events, bytes } = await backlogOf(log, tenant(undefined, sink("raw"), sink("slow")));
    expect(events).toBe(6);
    expect(bytes / 6).toBeGreaterThan(100);
  });

  it("leaves lanes out whose policy is to be ignored", async () => {
    await settle("raw", 9);
    expect((await backlogOf(log, tenant(undefined, sink("raw"), sink("slow", "ignore")))).events).toBe(1);
  });

  it("is nothing without lanes, or before a lane is open", async () => {
    expect(await backlogOf(log, tenant(undefined))).toEqual({ events: 0, bytes: 0 });
    expect(await backlogOf(log, tenant(undefined, sink("new")))).toEqual({ events: 0, bytes: 0 });
  });
});

describe("the watch", () => {
  const logged: string[] = [];
  const note = (_: unknown, message: string) => void logged.push(message);
  const logger = { debug: note, info: note, warn: note, error: note };

  async function quotaUnder(quota: NonNullable<TenantConfig["quota"]>) {
    const tenants = [tenant(quota, sink("raw"))];
    const door = createDoor({ tenants }, clock);
    const end = watchBacklog({ log, door, tenants: () => tenants, clock, logger });
    await clock.advance(1);
    return { state: () => door.quotaOf(STREAM.tenantId)?.isBehind, end };
  }

  it("closes the door while a lane is too far behind, and opens it when it caught up", async () => {
    const { state, end } = await quotaUnder({ backlogEvents: 5 });
    expect(state()).toBe(true);
    await settle("raw", 5);
    await clock.advance(300);
    expect(state()).toBe(false);
    expect(logged.at(-1)).toContain("within its quota");
    await end();
  });

  it("looks at whoever sends something, and at nobody else", async () => {
    const tenants = [tenant({ backlogEvents: 10 }, sink("raw"))];
    const door = createDoor({ tenants }, clock);
    const quota = door.quotaOf(STREAM.tenantId)!;
    let looks = 0;
    const counted = {
      bounds: (stream: Stream) => {
        looks += 1;
        return log.bounds(stream);
      },
      read: log.read.bind(log),
      loadLane: log.loadLane.bind(log),
    };
    const end = watchBacklog({ log: counted, door, tenants: () => tenants, clock, logger });
    const looksIn = async (ms: number): Promise<number> => {
      const before = looks;
      await clock.advance(ms);
      return looks - before;
    };
    await clock.advance(1);
    expect(looks).toBe(1);
    expect(await looksIn(5_000)).toBe(0);
    quota.enter(1);
    expect(await looksIn(1_000)).toBe(4);
    await appendMany(log, { count: 1, prefix: "more" });
    quota.leave();
    expect(await looksIn(300)).toBe(1);
    expect(quota.isBehind).toBe(true);
    await settle("raw", 11);
    expect(await looksIn(1_000)).toBe(1);
    expect(quota.isBehind).toBe(false);
    await end();
  });

  it("counts bytes, too", async () => {
    const { state, end } = await quotaUnder({ backlogBytes: 1024 });
    expect(state()).toBe(true);
    await settle("raw", 9);
    await clock.advance(300);
    expect(state()).toBe(false);
    await end();
  });
});
