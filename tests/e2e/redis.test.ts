import { createHash } from "node:crypto";
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { Keys, shardOf } from "../../drivers/redis/keys.ts";
import { pulsegate, type Running, spawnPulsegate } from "../helpers/cli.ts";
import { startTestRedis, type TestRedis } from "../helpers/redis.ts";
import { ownerOf, startTestCluster } from "../helpers/redis-cluster.ts";
import { tempDir } from "../helpers/temp-dir.ts";
import { until } from "../helpers/until.ts";

const KEY = "shop-key";
const ADMIN_TOKEN = "admin-token-for-this-test";

let redis: TestRedis;
beforeAll(async () => {
  redis = await startTestRedis();
});
afterAll(() => redis.stop());

interface Started {
  readonly running: Running;
  readonly data: string;
  readonly ops: string;
  readonly out: string;
}

async function configIn(dir: string, log: string, url = redis.url): Promise<string> {
  const config = join(dir, "pulsegate.yaml");
  const out = JSON.stringify(join(dir, "out.ndjson"));
  await writeFile(
    config,
    `log: { driver: redis, path: ./data, url: "${url}", ${log} }
http: { port: 0 }
ops: { port: 0, admin_token: ${ADMIN_TOKEN} }
tenants:
  - id: shop
    partitions: 3
    keys: [{ id: web, sha256: ${createHash("sha256").update(KEY).digest("hex")} }]
    plugins: { sinks: [{ name: file_sink, config: { path: ${out} } }] }
`,
  );
  return config;
}

async function start(log: string, dir?: string): Promise<Started> {
  const folder = dir ?? (await tempDir());
  const running = spawnPulsegate(["start", "--config", await configIn(folder, log)]);
  const [line] = await running.output(/^.*"msg":"ready".*$/m);
  const { data, ops } = JSON.parse(line) as { data: string; ops: string };
  return { running, data, ops, out: join(folder, "out.ndjson") };
}

async function post(url: string, n: number): Promise<{ status: number; body: Record<string, unknown> }> {
  const body = JSON.stringify({ event_type: "order_paid", n });
  const headers = { "X-API-Key": KEY, "Content-Type": "application/json", "Idempotency-Key": `"n${n}"` };
  const response = await fetch(`${url}/v1/events`, { method: "POST", headers, body });
  return { status: response.status, body: (await response.json()) as Record<string, unknown> };
}

async function delivered(out: string): Promise<number[]> {
  const text = await readFile(out, "utf8").catch(() => "");
  const lines = text.split("\n").filter((line) => line !== "");
  return lines.map((line) => (JSON.parse(line) as { payload: { n: number } }).payload.n);
}

test("the whole way over Redis: acknowledged, delivered once, and taken up by the next process", async () => {
  const dir = await tempDir();
  const first = await start("prefix: way", dir);
  for (let n = 0; n < 50; n++) expect((await post(first.data, n)).status).toBe(202);
  expect((await post(first.data, 7)).body).toMatchObject({ duplicate: true });
  await until(async () => ((await delivered(first.out)).length >= 50 ? true : undefined), "50 events in the file");
  first.running.signalGroup("SIGTERM");
  expect((await first.running.finished).code).toBe(0);
  const next = await start("prefix: way", dir);
  expect((await post(next.data, 7)).body).toMatchObject({ duplicate: true });
  expect((await post(next.data, 50)).status).toBe(202);
  await until(async () => ((await delivered(next.out)).length >= 51 ? true : undefined), "the 51st event");
  const all = await delivered(next.out);
  expect(all.toSorted((a, b) => a - b)).toEqual(Array.from({ length: 51 }, (_, n) => n));
});

test("the whole way over a cluster with replicas, and on while one of its primaries is replaced", async () => {
  const cluster = await startTestCluster({ withReplicas: true, nodeTimeoutMs: 4_000 });
  try {
    const dir = await tempDir();
    const config = await configIn(dir, "replicas: 1", cluster.url);
    const running = spawnPulsegate(["start", "--config", config]);
    const [line] = await running.output(/^.*"msg":"ready".*$/m);
    const { data } = JSON.parse(line) as { data: string };
    for (let n = 0; n < 20; n++) expect((await post(data, n)).status).toBe(202);
    const { port } = await ownerOf(cluster.nodes[0] as TestRedis, new Keys("pg").ids(shardOf("shop")));
    const at = cluster.nodes.findIndex((node) => node.port === port);
    const [primary, replica] = [cluster.nodes[at], cluster.nodes[at + 3]] as [TestRedis, TestRedis];
    await primary.kill();
    expect(await post(data, 20)).toMatchObject({ status: 503, body: { retryable: true } });
    const hasRole = async () => ((await replica.admin.info("replication")).includes("role:master") ? true : undefined);
    await until(hasRole, "its replica in its place");
    await primary.start();
    await until(async () => ((await post(data, 20)).status === 202 ? true : undefined), "accepted again");
    const out = join(dir, "out.ndjson");
    // What the failover took back of commits is delivered again.
    await until(async () => (new Set(await delivered(out)).size >= 21 ? true : undefined), "21 events");
    expect(new Set(await delivered(out))).toEqual(new Set(Array.from({ length: 21 }, (_, n) => n)));
  } finally {
    await cluster.stop();
  }
});

test("answers 503 while Redis is gone, and goes on where it was once it is back", async () => {
  const { data, ops, out } = await start("prefix: gone");
  expect((await post(data, 0)).status).toBe(202);
  await redis.kill();
  expect(await post(data, 1)).toMatchObject({ status: 503, body: { code: "log_unavailable", retryable: true } });
  await until(async () => ((await fetch(`${ops}/readyz`)).status === 503 ? true : undefined), "not ready");
  await redis.start();
  await until(async () => ((await post(data, 1)).status === 202 ? true : undefined), "accepted again");
  await until(async () => ((await delivered(out)).length >= 2 ? true : undefined), "both delivered");
  expect(await delivered(out)).toEqual(expect.arrayContaining([0, 1]));
});

test("an unsafe Redis is refused by name; relaxed, each acknowledgement and /readyz say so", async () => {
  await redis.admin.config("SET", "appendfsync", "no");
  try {
    const config = await configIn(await tempDir(), "prefix: unsafe");
    const refused = await pulsegate(["start", "--config", config]);
    expect(refused.code).toBe(1);
    expect(refused.stderr).toContain(
      `appendfsync is no, not always (redis-cli -h 127.0.0.1 -p ${redis.port} CONFIG SET`,
    );
    expect(refused.stderr).toContain("Next: run the commands in brackets, or set log.durability to relaxed");
    const { data, ops } = await start("prefix: unsafe, durability: relaxed");
    expect((await post(data, 0)).body).toMatchObject({ durability: "relaxed" });
    const ready = await (await fetch(`${ops}/readyz`)).json();
    expect(ready).toMatchObject({ status: "ready", checks: [{ name: "log", note: expect.stringMatching(/relaxed/) }] });
  } finally {
    await redis.admin.config("SET", "appendfsync", "always");
  }
});

test("a Redis that can't be reached hinders the start, in words", async () => {
  const dir = await tempDir();
  const config = join(dir, "pulsegate.yaml");
  await writeFile(config, "log: { driver: redis, url: redis://127.0.0.1:1 }\n");
  const { code, stderr } = await pulsegate(["start", "--config", config]);
  expect(code).toBe(1);
  expect(stderr).toMatch(/PulseGate did not start: Redis at 127\.0\.0\.1:1 can't be used.*\nNext: /);
});

test("a user's password comes from the environment or a file, and stands in no log and no error", async () => {
  const [right, wrong] = ["canary-right-password", "canary-wrong-password"];
  await redis.admin.call("ACL", "SETUSER", "app", "on", `>${right}`, "~*", "&*", "+@all");
  const dir = await tempDir();
  await writeFile(join(dir, "password"), `${right}\n`);
  const started = async (password: string, env: Record<string, string>) => {
    const config = await configIn(dir, `prefix: user, username: app, password: "${password}"`);
    return spawnPulsegate(["start", "--config", config], { env });
  };
  const refused = await (await started("${APP_PASSWORD}", { APP_PASSWORD: wrong })).finished;
  expect(refused.code).toBe(1);
  expect(refused.stderr).toMatch(/Redis at 127\.0\.0\.1:\d+ can't be used: WRONGPASS/);
  const running = await started(`\${file:${join(dir, "password")}}`, {});
  const [line] = await running.output(/^.*"msg":"ready".*$/m);
  const { data } = JSON.parse(line) as { data: string };
  // Cut off, it comes back with the same password.
  await redis.admin.call("CLIENT", "KILL", "USER", "app");
  await until(async () => ((await post(data, 0)).status === 202 ? true : undefined), "accepted again");
  running.signalGroup("SIGTERM");
  const { stdout, stderr } = await running.finished;
  for (const text of [refused.stdout, refused.stderr, stdout, stderr]) expect(text).not.toContain("canary-");
});

test("emptied under its feet it accepts nothing, until `lanes reset --confirm` says to go on", async () => {
  const { data, ops, out } = await start("prefix: emptied");
  expect((await post(data, 0)).status).toBe(202);
  await until(async () => ((await delivered(out)).length === 1 ? true : undefined), "the first event");
  await redis.admin.flushall();
  expect(await post(data, 1)).toMatchObject({ status: 503, body: { code: "log_unavailable" } });
  expect((await fetch(`${ops}/readyz`)).status).toBe(503);
  expect(await (await fetch(`${ops}/metrics`)).text()).toContain('pulsegate_log_alarm_info{alarm="lost"} 1');
  const env = { PULSEGATE_ADMIN_URL: ops, PULSEGATE_ADMIN_TOKEN: ADMIN_TOKEN };
  expect((await pulsegate(["lanes", "reset"], { env })).code).toBe(2);
  expect(await pulsegate(["lanes", "reset", "--confirm"], { env })).toMatchObject({ code: 0 });
  await until(async () => ((await post(data, 1)).status === 202 ? true : undefined), "accepted again");
});
