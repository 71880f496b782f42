import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { LogMetrics } from "../../core/ingestion/metrics.ts";
import {
  appendMany,
  appendOne,
  claimOn,
  commitOne,
  LANE,
  OTHER,
  readAll,
  STREAM,
  sequenceOf,
} from "../../tests/conformance/log-fixtures.ts";
import { startTestRedis, type TestRedis } from "../../tests/helpers/redis.ts";
import { noMetrics } from "../embedded/testing.ts";
import { Keys } from "./keys.ts";
import { openTestLog } from "../../tests/helpers/redis-log.ts";

const LOST = { code: "log_unavailable" };

describe("a Redis that lost what it held", () => {
  let redis: TestRedis;
  beforeAll(async () => {
    redis = await startTestRedis();
  });
  afterAll(() => redis.stop());

  async function withLane(prefix: string) {
    const alarms = new Map<string, boolean>();
    const metrics: LogMetrics = { ...noMetrics, alarm: (alarm, raised) => void alarms.set(alarm, raised) };
    const log = await openTestLog(redis.url, { prefix, metrics });
    await appendMany(log, { count: 5 });
    await log.openLane(LANE, "start");
    await commitOne(log, { claim: await claimOn(log), from: 0, to: 2 });
    return { log, alarms };
  }

  it("emptied by FLUSHALL takes nothing and begins nothing anew, until an operator accepts the loss", async () => {
    const { log, alarms } = await withLane("flushed");
    await redis.admin.flushall();
    await expect(appendOne(log, { id: "e9" })).rejects.toMatchObject(LOST);
    await expect(readAll(log)).rejects.toMatchObject(LOST);
    await expect(log.loadLane(LANE)).rejects.toMatchObject(LOST);
    await expect(log.openLane(LANE, "tail")).rejects.toMatchObject(LOST);
    await expect(log.bounds(STREAM)).rejects.toMatchObject(LOST);
    await expect(log.probe()).rejects.toMatchObject(LOST);
    expect(alarms.get("lost")).toBe(true);
    expect(await redis.admin.keys("*flushed*")).toEqual([]);
    expect(await log.acceptLoss()).toMatchObject({ shards: 64, streams: 0 });
    await log.probe();
    expect(alarms.get("lost")).toBe(false);
    expect(await log.openLane(LANE, "start")).toMatchObject({ cursor: 0 });
    expect(sequenceOf(await appendOne(log, { id: "e9" }))).toBe(0);
  });

  it("restarted empty is noticed by the process that was connected to it", async () => {
    const empty = await startTestRedis();
    try {
      const log = await openTestLog(empty.url);
      await appendOne(log, { id: "e1" });
      await empty.kill();
      await empty.forget();
      await empty.start();
      await expect
        .poll(() => appendOne(log, { id: "e2" }).catch(({ message }) => message), { timeout: 20_000 })
        .toMatch(/lost what it held/);
      await expect(log.probe()).rejects.toMatchObject(LOST);
    } finally {
      await empty.stop();
    }
  });

  it("without one stream refuses that stream alone; accepted, what a lane had left of it is erased", async () => {
    const { log } = await withLane("vanished");
    await redis.admin.del(new Keys("vanished").entries(STREAM));
    await expect(readAll(log)).rejects.toMatchObject(LOST);
    await expect(appendOne(log, { id: "e9" })).rejects.toMatchObject(LOST);
    expect(sequenceOf(await appendOne(log, { stream: OTHER, id: "e1" }))).toBe(0);
    await expect(log.probe()).rejects.toMatchObject(LOST);
    expect(await log.acceptLoss()).toEqual({ shards: 0, streams: 1, lanes: 1, events: 3 });
    expect(await log.loadLane(LANE)).toMatchObject({ cursor: 5, delivered: 2, erased: 3 });
    const recount = await log.recount(LANE);
    expect(recount?.recounted).toEqual(recount?.state);
    // Places are never given out again.
    expect(sequenceOf(await appendOne(log, { id: "e9" }))).toBe(5);
    await log.probe();
  });

  it("without a lane's cursor does not begin that lane anew by itself", async () => {
    const { log } = await withLane("cursorless");
    await redis.admin.del(new Keys("cursorless").lane(LANE).state);
    await expect(log.openLane(LANE, "tail")).rejects.toMatchObject(LOST);
    await expect(log.loadLane(LANE)).rejects.toMatchObject(LOST);
    await log.acceptLoss();
    expect(await log.loadLane(LANE)).toBeUndefined();
  });
});
