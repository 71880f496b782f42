import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { appendOne } from "../../tests/conformance/log-fixtures.ts";
import { redisServers, startTestRedis, type TestRedis } from "../../tests/helpers/redis.ts";
import { until } from "../../tests/helpers/until.ts";
import { SteppedClock } from "../embedded/testing.ts";
import { openTestLog } from "../../tests/helpers/redis-log.ts";

const UNSAFE = [
  ["appendonly", "no", "yes"],
  ["appendfsync", "no", "always"],
  ["maxmemory-policy", "allkeys-lru", "noeviction"],
] as const;

for (const { name, binary } of redisServers()) {
  describe(`durability on ${name}`, () => {
    let redis: TestRedis;
    beforeAll(async () => {
      redis = await startTestRedis({ binary });
    });
    afterAll(() => redis.stop());

    it.each(UNSAFE)("refuses to start when %s is %s, naming it and what mends it", async (setting, bad, good) => {
      await redis.admin.config("SET", setting, bad);
      const refusal = await openTestLog(redis.url).catch((error: unknown) => error);
      const mend = `redis-cli -h 127.0.0.1 -p ${redis.port} CONFIG SET ${setting} ${good}`;
      expect(refusal).toMatchObject({ code: "log_unsafe" });
      expect((refusal as Error).message).toContain(`${setting} is ${bad}, not ${good} (${mend})`);
      await redis.admin.config("SET", setting, good);
      await openTestLog(redis.url);
    });

    it.each(UNSAFE)("runs with %s %s when durability is relaxed, and says so", async (setting, bad, good) => {
      await redis.admin.config("SET", setting, bad);
      const log = await openTestLog(redis.url, { durability: "relaxed", prefix: `relaxed-${setting}` });
      expect(log.durability).toBe("relaxed");
      expect((await appendOne(log, { id: "e1" })).type).toBe("appended");
      await redis.admin.config("SET", setting, good);
    });

    it("takes nothing while a running server is made unsafe, and goes on once that is mended", async () => {
      const clock = new SteppedClock({ hasty: true });
      const log = await openTestLog(redis.url, { prefix: "turned", clock });
      await appendOne(log, { id: "e1" });
      await redis.admin.config("SET", "maxmemory-policy", "allkeys-lru");
      await until(
        async () => ((await log.probe().then(stillFine, codeOf)) === "log_unsafe" ? true : undefined),
        "alarm",
      );
      await expect(appendOne(log, { id: "e2" })).rejects.toMatchObject({ code: "log_unsafe" });
      await redis.admin.config("SET", "maxmemory-policy", "noeviction");
      await until(async () => ((await log.probe().then(stillFine, codeOf)) === "fine" ? true : undefined), "all clear");
      expect((await appendOne(log, { id: "e2" })).type).toBe("appended");
    });
  });
}

describe("a replica", () => {
  it("is refused: what is written there is not kept", async () => {
    const primary = await startTestRedis();
    const replica = await startTestRedis({ args: ["--replicaof", "127.0.0.1", String(primary.port)] });
    try {
      await expect(openTestLog(replica.url)).rejects.toMatchObject({ code: "log_unavailable" });
    } finally {
      await replica.stop();
      await primary.stop();
    }
  });
});

describe("syncs of once a second", () => {
  it("are waited for where the server can tell of them", async () => {
    const newest = redisServers().at(-1);
    const redis = await startTestRedis({ binary: newest?.binary ?? "", args: ["--appendfsync", "everysec"] });
    try {
      const opened = await openTestLog(redis.url).catch((error: unknown) => error as Error);
      // Redis 7.0 has no WAITAOF: there it is refused.
      if (opened instanceof Error) expect(opened.message).toContain("appendfsync is everysec, not always");
      else {
        expect((await appendOne(opened, { id: "e1" })).type).toBe("appended");
        const { cmdstat_waitaof } = Object.fromEntries(
          (await redis.admin.info("commandstats")).split("\r\n").map((line) => line.split(":", 2)),
        ) as Record<string, string | undefined>;
        expect(cmdstat_waitaof).toMatch(/^calls=1,/);
      }
    } finally {
      await redis.stop();
    }
  });
});

const stillFine = () => "fine";
const codeOf = (error: unknown) => (error as { code?: string }).code;
