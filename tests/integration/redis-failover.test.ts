import { afterAll, beforeAll, describe, expect, onTestFinished, test } from "vitest";
import { type Claim, slotOf } from "../../core/ingestion/log.ts";
import { Keys, shardOf } from "../../drivers/redis/keys.ts";
import { systemClock } from "../../observability/system-clock.ts";
import { appendOne, commitOne, idOf as eventOf, LANE, readAll, STREAM } from "../conformance/log-fixtures.ts";
import { type TestRedis, redisServers } from "../helpers/redis.ts";
import { moveSlot, startTestCluster, type TestCluster } from "../helpers/redis-cluster.ts";
import { openTestLog } from "../helpers/redis-log.ts";
import { type RedisLoad, startRedisLoad } from "../helpers/redis-load.ts";
import { startTestSentinels, type TestSentinels } from "../helpers/redis-sentinel.ts";
import { until } from "../helpers/until.ts";

const PRIMARIES = 3;
const SINK_MS = 300;
/** A primary that is silent for so long loses its place. */
const FAILOVER_MS = 4_000;
const LONG = 300_000;
/** `make failover`: on every server there is, each primary in turn, sentinels both ways. Otherwise one of each. */
const ALL = process.env["PULSEGATE_FAILOVER"] === "all";

describe.each(redisServers().slice(0, ALL ? undefined : 1))("a cluster of $name", ({ binary }) => {
  /** One for each test: what a test that fails leaves of its moves would keep nodes of the next from serving. */
  const started = async (nodeTimeoutMs?: number): Promise<TestCluster> => {
    const cluster = await startTestCluster({ binary, withReplicas: true, nodeTimeoutMs });
    onTestFinished(async ({ task }) => {
      if (task.result?.state === "fail") console.error(await cluster.report());
      await cluster.stop();
    });
    return cluster;
  };

  test("with replicas that nobody waits for is refused, by name and with what mends it", async () => {
    const cluster = await started();
    await expect(openTestLog(cluster.url)).rejects.toMatchObject({
      code: "log_unsafe",
      message: expect.stringContaining("it has 1 replica(s)") as unknown,
    });
    await expect(openTestLog(cluster.url)).rejects.toThrow("set log.replicas to 1 or more in the configuration");
    await expect(openTestLog(cluster.url, { replicas: 2 })).rejects.toThrow("1 of the 2 replica(s)");
  });

  test("moves slots under load: nothing is lost, nothing twice", { timeout: LONG }, async () => {
    const cluster = await started();
    const load = await startRedisLoad({ url: cluster.url, log: { replicas: 1, prefix: "moved" }, sinkMs: 5 });
    await load.more(100);
    // The shards of the load's tenants among others, and the one that all share.
    for (const shard of ["c", 1, 2, 3, 4, 5, 6, 7] as const) await moveSlot(cluster, `{moved:${shard}}`);
    for (let i = 0; i < 8; i++) await moveSlot(cluster, new Keys("moved").ids(shardOf(`tenant_${i}`)));
    await load.more(100);
    expect(await load.finish()).toEqual([]);
  });

  test("loses a primary under load: nothing is lost, nothing twice", {
    timeout: LONG,
  }, async () => {
    const cluster = await started(FAILOVER_MS);
    const load = await startRedisLoad({ url: cluster.url, log: { replicas: 1, prefix: "failed" }, sinkMs: SINK_MS });
    await load.more(100);
    for (const [i, node] of (await primaries(cluster)).slice(0, ALL ? undefined : 1).entries()) {
      const dies = i % 2 === 0;
      await failOver(load, {
        down: () => (dies ? node.kill() : node.freeze(true)),
        replaced: async () => (await primaries(cluster)).filter((one) => one !== node).length === PRIMARIES,
        up: () => (dies ? node.start() : node.freeze(false)),
      });
    }
    expect(await load.finish()).toEqual([]);
    expect(load.refused).toBeGreaterThan(0);
  });
});

describe("sentinels", () => {
  let sentinels: TestSentinels;
  beforeAll(async () => {
    sentinels = await startTestSentinels();
  });
  afterAll(() => sentinels.stop());

  test("let a primary be lost with what no replica had: it was not acknowledged, and what was read of it can't be settled", {
    timeout: LONG,
  }, async () => {
    const { url } = sentinels;
    const { primary, replica } = await placesOf(sentinels);
    const shared = { prefix: "alone", leaseMs: 600_000, clock: systemClock };
    const log = await openTestLog(url, { ...shared, replicas: 1 });
    const hasty = await openTestLog(url, { ...shared, durability: "relaxed" });
    await log.openLane(LANE, "start");
    const held = (await log.claims("w")).held(new AbortController().signal);
    const claim = await claimIn(held);
    replica.freeze(true);
    // Or what is on the wire would be read from it later.
    await primary.admin.client("KILL", "TYPE", "REPLICA");
    await appendOne(hasty, { id: "x" });
    await expect(appendOne(log, { id: "z" })).rejects.toThrow("0 of 1 replicas have it in time");
    expect((await readAll(log)).map(eventOf)).toEqual(["x", "z"]);
    await primary.kill();
    replica.freeze(false);
    await until(async () => ((await sentinels.primaryPort()) === replica.port ? true : undefined), "the replica");
    await primary.start();
    const y = await until(() => appendOne(log, { id: "y" }).catch(() => undefined), "y");
    expect(y).toMatchObject({ sequence: 0 });
    await expect(commitOne(log, { claim, from: 0, to: 1 })).rejects.toMatchObject({ code: "fenced" });
    expect((await readAll(log)).map(eventOf)).toEqual(["y"]);
    // What is claimed anew may be claimed once more: the replica has yet to find its primary.
    const anew = async () => commitOne(log, { claim: await claimIn(held), from: 0, to: 1 });
    await until(() => anew().then(() => true, orFenced), "a commit by a claim of after the loss");
    expect(await log.loadLane(LANE)).toMatchObject({ cursor: 1, delivered: 1 });
  });

  test.runIf(ALL)(
    "put the replica in the place of a primary that stands still, and back when it is killed",
    {
      timeout: LONG,
    },
    async () => {
      const { url, primaryPort } = sentinels;
      const { primary, replica } = await placesOf(sentinels);
      const load = await startRedisLoad({ url, log: { replicas: 1 }, sinkMs: SINK_MS });
      await load.more(100);
      await failOver(load, {
        down: () => primary.freeze(true),
        replaced: async () => (await primaryPort()) === replica.port,
        up: () => primary.freeze(false),
      });
      await failOver(load, {
        down: () => replica.kill(),
        replaced: async () => (await primaryPort()) === primary.port,
        up: () => replica.start(),
      });
      expect(await load.finish()).toEqual([]);
      expect(load.refused).toBeGreaterThan(0);
    },
  );
});

function orFenced(error: unknown): undefined {
  expect(error).toMatchObject({ code: "fenced" });
}

/** Whose place is whose by now. */
async function placesOf({ servers, primaryPort }: TestSentinels) {
  const port = await primaryPort();
  const primary = servers.find((one) => one.port === port) as TestRedis;
  return { primary, replica: servers.find((one) => one !== primary) as TestRedis };
}

async function claimIn(held: AsyncIterable<readonly Claim[]>): Promise<Claim> {
  for (;;) {
    const { value } = await held[Symbol.asyncIterator]().next();
    const claim = (value as readonly Claim[]).find(({ slot }) => slot === slotOf(STREAM));
    if (claim !== undefined) return claim;
  }
}

interface Failover {
  readonly down: () => Promise<void> | void;
  readonly replaced: () => Promise<boolean>;
  readonly up: () => Promise<void> | void;
}

/** What is down comes back as the replica of what has replaced it: without one nothing is acknowledged. */
async function failOver(load: RedisLoad, { down, replaced, up }: Failover): Promise<void> {
  await down();
  await until(async () => ((await replaced()) ? true : undefined), "another server in its place");
  await up();
  await load.more(100);
}

/** Of the servers that answer. */
async function primaries({ nodes }: TestCluster): Promise<TestRedis[]> {
  const roles = await Promise.all(nodes.map(({ admin }) => answerOf(admin.role())));
  return nodes.filter((_, i) => roles[i]?.[0] === "master");
}

/** Undefined from a server that is down. */
function answerOf<T>(asked: Promise<T>): Promise<T | undefined> {
  const soon = new Promise<undefined>((resolve) => void setTimeout(() => resolve(undefined), 500).unref());
  return Promise.race([asked.catch(() => undefined), soon]);
}
