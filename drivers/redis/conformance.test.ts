import { randomUUID } from "node:crypto";
import { afterAll, beforeAll, describe } from "vitest";
import { erasureConformance } from "../../tests/conformance/log-erasure.ts";
import { logConformance } from "../../tests/conformance/log.ts";
import type { LogUnderTest } from "../../tests/conformance/log-under-test.ts";
import { redisServers, startTestRedis, type TestRedis } from "../../tests/helpers/redis.ts";
import { startTestCluster, type TestCluster } from "../../tests/helpers/redis-cluster.ts";
import { noMetrics, quietLogger, SteppedClock } from "../embedded/testing.ts";
import { openRedisLog, type RedisLog } from "./index.ts";

const WINDOW_MS = 24 * 3_600_000;

for (const { name, binary } of redisServers()) {
  describe(`server: ${name}`, () => {
    let redis: TestRedis;
    beforeAll(async () => {
      redis = await startTestRedis({ binary });
    });
    afterAll(() => redis.stop());

    const open = () => openOn(redis, { prefix: `pg-${randomUUID()}`, clock: new SteppedClock() });
    logConformance(name, open);
    erasureConformance(name, open);
  });

  describe(`cluster: ${name}`, () => {
    let cluster: TestCluster;
    beforeAll(async () => {
      cluster = await startTestCluster({ binary });
    });
    afterAll(() => cluster.stop());

    const open = () => openOn(cluster, { prefix: `pg-${randomUUID()}`, clock: new SteppedClock() });
    logConformance(`cluster of ${name}`, open);
    erasureConformance(`cluster of ${name}`, open);
  });
}

async function openOn(
  redis: TestRedis | TestCluster,
  place: { prefix: string; clock: SteppedClock },
): Promise<LogUnderTest> {
  const { prefix, clock } = place;
  const options = { clock, logger: quietLogger, metrics: noMetrics, windowMs: WINDOW_MS };
  const openAs = (instance: string) =>
    openRedisLog({ ...options, connection: { url: redis.url }, prefix, instance, folder: "unused" });
  const log = await openAs("one");
  const others: RedisLog[] = [];
  const close = async () => void (await Promise.all([log, ...others].map((one) => one.close())));
  return {
    log,
    windowMs: WINDOW_MS,
    advance: (ms) => clock.step(ms),
    async takeOver(slot) {
      const other = await openAs("another");
      others.push(other);
      // The leases of all others are over.
      await redis.admin.del(`{${prefix}:c}:workers`);
      for await (const held of (await other.claims("another")).held(new AbortController().signal)) {
        const claim = held.find((candidate) => candidate.slot === slot);
        if (claim !== undefined) return claim;
      }
      throw new Error(`slot ${slot} was not given`);
    },
    async reopen() {
      await close();
      return openOn(redis, place);
    },
    async close() {
      await close();
      const servers = "nodes" in redis ? redis.nodes : [redis];
      await Promise.all(servers.map(({ admin }) => admin.flushall()));
    },
  };
}
