import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { pulsegate, type Running, spawnPulsegate } from "../helpers/cli.ts";
import { startTestRedis, type TestRedis } from "../helpers/redis.ts";
import { tempDir } from "../helpers/temp-dir.ts";
import { until } from "../helpers/until.ts";

let redis: TestRedis;
beforeAll(async () => {
  redis = await startTestRedis();
});
afterAll(() => redis.stop());

async function startDev(data: string): Promise<{ dev: Running; url: string }> {
  const dev = spawnPulsegate(["dev", "--data", data, "--port", "0", "--ops-port", "0", "--log", redis.url]);
  const [, url = ""] = await dev.output(/events +(http:\/\/localhost:\d+)\/v1\/events/);
  await dev.output(/log +Redis, yours[^]*Ctrl-C stops/);
  return { dev, url };
}

async function post(url: string, id: string): Promise<{ status: number; ack: Record<string, unknown> }> {
  const headers = { "X-API-Key": "demo", "Content-Type": "application/json" };
  const body = JSON.stringify({ event_type: "user_sign_up", event_id: id });
  const response = await fetch(`${url}/v1/events`, { method: "POST", headers, body });
  return { status: response.status, ack: (await response.json()) as Record<string, unknown> };
}

const settled = (data: string): Promise<string> =>
  until(async () => {
    const { stdout } = await pulsegate(["ledger", "--data", data, "--json"]);
    const { items } = JSON.parse(stdout) as { items: Array<{ accepted: number; delivered: number }> };
    return items[0]?.accepted === items[0]?.delivered && items[0]?.accepted ? stdout : undefined;
  }, "everything is delivered");

test("pulsegate dev --log keeps the log in Redis, and the next start goes on there", async () => {
  const data = await tempDir();
  const first = await startDev(data);
  expect(await post(first.url, "first")).toMatchObject({ status: 202, ack: { position: "demo/0/0" } });
  await settled(data);
  const { stdout } = await pulsegate(["sql", "--data", data, "--json", "SELECT event_id FROM events_raw"]);
  expect(JSON.parse(stdout)).toEqual([{ event_id: "first" }]);
  expect(await readdir(join(data, "log"))).toEqual(["lock.json"]);

  const second = await pulsegate(["dev", "--data", data, "--port", "0", "--ops-port", "0", "--log", redis.url]);
  expect(second).toMatchObject({ code: 1, stderr: expect.stringMatching(/is in use by another process.*\nNext: /) });

  first.dev.signalGroup("SIGINT");
  expect((await first.dev.finished).code).toBe(0);
  const again = await startDev(data);
  expect(await post(again.url, "first")).toMatchObject({ ack: { position: "demo/0/0", duplicate: true } });
  expect(await post(again.url, "second")).toMatchObject({ status: 202, ack: { position: "demo/0/1" } });
  const ledger = JSON.parse(await settled(data)) as { items: object[] };
  expect(ledger.items).toMatchObject([{ accepted: 2, delivered: 2, pending: 0, imbalance: 0 }]);
}, 240_000);

test.each([
  ["redis://127.0.0.1:1", /Redis at 127\.0\.0\.1:1 can't be used: .*\nNext: start Redis, or mend/],
  ["http://127.0.0.1:6379", /the URL of Redis is wrong: expected redis:\/\/host:port/],
  ["redis://:secret-word@127.0.0.1:6379/no-number", /the URL of Redis is wrong: expected a database's number/],
])("pulsegate dev --log %s is refused with the reason and the next step", async (url, reason) => {
  const { code, stderr } = await pulsegate(["dev", "--data", await tempDir(), "--port", "0", "--log", url]);
  expect(code).toBe(1);
  expect(stderr).toMatch(reason);
  expect(stderr).toMatch(/\nNext: /);
  expect(stderr).not.toContain("secret-word");
});

test("pulsegate dev --log refuses a Redis that may lose events, naming the setting and what mends it", async () => {
  await redis.admin.config("SET", "appendfsync", "no");
  try {
    const data = await tempDir();
    const { code, stderr } = await pulsegate(["dev", "--data", data, "--port", "0", "--log", redis.url]);
    expect(code).toBe(1);
    expect(stderr).toContain(`CONFIG SET appendfsync always`);
  } finally {
    await redis.admin.config("SET", "appendfsync", "always");
  }
});
