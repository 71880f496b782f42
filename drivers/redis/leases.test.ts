import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type Claim, type Claims, SLOT_COUNT, slotOf } from "../../core/ingestion/log.ts";
import { appendMany, commitOne, LANE, STREAM } from "../../tests/conformance/log-fixtures.ts";
import { startTestRedis, type TestRedis } from "../../tests/helpers/redis.ts";
import { openTestLog } from "../../tests/helpers/redis-log.ts";

describe("leases on slots", () => {
  let redis: TestRedis;
  beforeAll(async () => {
    redis = await startTestRedis();
  });
  afterAll(() => redis.stop());

  it("are shared out evenly, and a worker that joins moves no more than its share", async () => {
    const options = { prefix: "even", leaseMs: 3_000 };
    const workers: Held[] = [];
    for (let count = 1; count <= 4; count++) {
      const before = workers.map((worker) => worker.now);
      workers.push(follow(await (await openTestLog(redis.url, options)).claims("w")));
      await expect.poll(() => workers.map(({ now }) => now.length).sort((a, b) => a - b), POLL).toEqual(evenly(count));
      const slots = workers.flatMap(({ now }) => now.map(({ slot }) => slot));
      expect(new Set(slots).size).toBe(SLOT_COUNT);
      const moved = before.flatMap((claims, i) => claims.filter(({ slot }) => !has(workers[i] as Held, slot)));
      expect(moved.length).toBe(count === 1 ? 0 : Math.floor(SLOT_COUNT / count));
    }
    for (const worker of workers) worker.stop();
  });

  it("given back are taken by another at once, long before the lease is over", async () => {
    const options = { prefix: "handed", leaseMs: 600_000 };
    const first = await (await openTestLog(redis.url, options)).claims("w");
    const other = follow(await (await openTestLog(redis.url, options)).claims("w"));
    await first.release();
    await expect.poll(() => other.now.length, POLL).toBe(SLOT_COUNT);
    other.stop();
  });

  it("of a worker that is gone without a word end, and what it still sends is fenced", async () => {
    const options = { prefix: "gone", leaseMs: 1_000 };
    const log = await openTestLog(redis.url, options);
    await appendMany(log, { count: 2 });
    await log.openLane(LANE, "start");
    const stopped = await openTestLog(redis.url, options);
    const stale = follow(await stopped.claims("w"));
    await expect.poll(() => stale.now.length, POLL).toBe(SLOT_COUNT);
    const old = stale.now.find(({ slot }) => slot === slotOf(STREAM)) as Claim;
    // As if stopped by SIGSTOP: its renewals don't come.
    await redis.admin.del("{gone:c}:workers");
    const other = follow(await log.claims("w"));
    await expect.poll(() => has(other, slotOf(STREAM)), POLL).toBe(true);
    await expect(commitOne(stopped, { claim: old, from: 0, to: 1 })).rejects.toMatchObject({ code: "fenced" });
    const held = other.now.find(({ slot }) => slot === slotOf(STREAM)) as Claim;
    expect(held.epoch).toBeGreaterThan(old.epoch);
    await commitOne(log, { claim: held, from: 0, to: 1 });
    for (const one of [stale, other]) one.stop();
  });
});

describe("claims on a server that another may replace", () => {
  it("are void once its history has begun anew, and come back as new ones", async () => {
    const primary = await startTestRedis({ args: ["--enable-debug-command", "yes"] });
    const replica = await startTestRedis({ args: ["--replicaof", "127.0.0.1", String(primary.port)] });
    try {
      await expect.poll(() => primary.admin.info("replication"), POLL).toContain("state=online");
      const log = await openTestLog(primary.url, { replicas: 1, leaseMs: 600_000 });
      await appendMany(log, { count: 2 });
      await log.openLane(LANE, "start");
      const held = follow(await log.claims("w"));
      await expect.poll(() => has(held, slotOf(STREAM)), POLL).toBe(true);
      const claimed = () => held.now.find(({ slot }) => slot === slotOf(STREAM)) as Claim;
      const claim = claimed();
      await commitOne(log, { claim, from: 0, to: 1 });
      // As of a replica that is promoted.
      await primary.admin.call("DEBUG", "CHANGE-REPL-ID");
      await expect(commitOne(log, { claim, from: 1, to: 2 })).rejects.toThrow("another server has taken over");
      await expect.poll(() => claimed().epoch, POLL).toBeGreaterThan(claim.epoch);
      await commitOne(log, { claim: claimed(), from: 1, to: 2 });
      held.stop();
    } finally {
      await replica.stop();
      await primary.stop();
    }
  });
});

const POLL = { timeout: 20_000, interval: 20 };

interface Held {
  readonly now: readonly Claim[];
  stop(): void;
}

function follow(claims: Claims): Held {
  const controller = new AbortController();
  const held = { now: [] as readonly Claim[], stop: () => controller.abort() };
  const run = async () => {
    for await (const now of claims.held(controller.signal)) held.now = now;
  };
  void run();
  return held;
}

function has({ now }: Held, slot: number): boolean {
  return now.some((claim) => claim.slot === slot);
}

function evenly(workers: number): number[] {
  return Array.from({ length: workers }, (_, i) => Math.floor((SLOT_COUNT + i) / workers));
}
