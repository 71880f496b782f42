import { createHash } from "node:crypto";
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, test } from "vitest";
import { type Running, spawnPulsegate } from "../helpers/cli.ts";
import { tempDir } from "../helpers/temp-dir.ts";
import { until } from "../helpers/until.ts";

const ADMIN_TOKEN = "admin-token-for-this-test";
const KEY = "shop-key";
const EVENTS = 600;

interface Gate {
  readonly running: Running;
  readonly data: string;
  readonly admin: <T>(path: string, body?: unknown) => Promise<T>;
}

interface JobView {
  readonly id: string;
  readonly state: string;
  readonly progress: { readonly delivered: number };
}

async function start(config: string): Promise<Gate> {
  const running = spawnPulsegate(["start", "--config", config]);
  const [line] = await running.output(/^.*"msg":"ready".*$/m);
  const { data, ops } = JSON.parse(line) as { data: string; ops: string };
  const headers = { Authorization: `Bearer ${ADMIN_TOKEN}`, "Content-Type": "application/json" };
  const admin = async <T>(path: string, body?: unknown) => {
    const init = body === undefined ? { headers } : { headers, method: "POST", body: JSON.stringify(body) };
    const answer = await fetch(`${ops}/admin/v1/${path}`, init);
    expect(answer.ok, `${path}: ${answer.status}`).toBe(true);
    return (await answer.json()) as T;
  };
  return { running, data, admin };
}

async function configIn(dir: string): Promise<string> {
  const config = join(dir, "pulsegate.yaml");
  const sha256 = createHash("sha256").update(KEY).digest("hex");
  await writeFile(
    config,
    `version: 1
log: { path: ./data }
http: { port: 0 }
ops: { port: 0, admin_token: ${ADMIN_TOKEN} }
tenants:
  - id: shop
    partitions: 3
    keys: [{ id: web, sha256: ${sha256} }]
    plugins: { sinks: [{ name: file_sink, config: { path: ${JSON.stringify(join(dir, "out.ndjson"))} } }] }
`,
  );
  return config;
}

async function send(data: string): Promise<void> {
  const lines = Array.from({ length: EVENTS }, (_, i) =>
    JSON.stringify({ event_type: "a", event_id: `e${i}`, payload: {} }),
  );
  const headers = { "X-API-Key": KEY, "Content-Type": "application/x-ndjson" };
  const answer = await fetch(`${data}/v1/events/batch`, { method: "POST", headers, body: lines.join("\n") });
  expect(answer.status).toBe(202);
}

/** Event id → lines in the file. */
async function delivered(dir: string): Promise<Map<string, number>> {
  const text = await readFile(join(dir, "out.ndjson"), "utf8").catch(() => "");
  const counts = new Map<string, number>();
  // A process that was killed may have left half a line.
  for (const [, id = ""] of text.matchAll(/"event_id":"(e\d+)"/g)) counts.set(id, (counts.get(id) ?? 0) + 1);
  return counts;
}

test("a replay goes on from its cursor after kill -9, delivers each event, and the ledger balances", async () => {
  const dir = await tempDir();
  const config = await configIn(dir);
  const first = await start(config);
  await send(first.data);
  await until(async () => ((await delivered(dir)).size === EVENTS ? true : undefined), "the live deliveries");
  const rate = { events_per_second: 150 };
  const { id } = await first.admin<JobView>("tenants/shop/jobs", { kind: "replay", rate });
  await first.admin(`jobs/${id}/start`, {});
  const before = await until(async () => {
    const { progress } = await first.admin<JobView>(`jobs/${id}`);
    return progress.delivered > 100 ? progress.delivered : undefined;
  }, "a part of the replay");
  first.running.child.kill("SIGKILL");
  await first.running.finished;

  const second = await start(config);
  const found = await second.admin<JobView>(`jobs/${id}`);
  expect(found.state).toBe("running");
  expect(found.progress.delivered).toBeGreaterThanOrEqual(before);
  await second.admin(`jobs/${id}/rate`, { idle_share: 1 });
  const done = await until(async () => {
    const job = await second.admin<JobView>(`jobs/${id}`);
    return job.state === "done" ? job : undefined;
  }, "the end of the replay");
  expect(done.progress.delivered).toBe(EVENTS);
  const counts = await delivered(dir);
  expect([...counts.values()].every((lines) => lines >= 2)).toBe(true);
  // What was committed was not delivered again: only a part can have come three times.
  expect([...counts.values()].filter((lines) => lines > 2).length).toBeLessThan(EVENTS - before);
  const { items } = await second.admin<{ items: Array<{ delivered: number; imbalance: number }> }>("ledger");
  expect(items.map(({ imbalance }) => imbalance)).toEqual([0, 0, 0]);
  expect(items.reduce((sum, lane) => sum + lane.delivered, 0)).toBe(EVENTS);
  second.running.child.kill("SIGTERM");
  expect((await second.running.finished).code).toBe(0);
});

test("jobs that are planned, paused, cancelled or done are so after kill -9, and go on from there", async () => {
  const dir = await tempDir();
  const config = await configIn(dir);
  const first = await start(config);
  await send(first.data);
  await until(async () => ((await delivered(dir)).size === EVENTS ? true : undefined), "the live deliveries");
  const plan = async (rate: object) => (await first.admin<JobView>("tenants/shop/jobs", { kind: "replay", rate })).id;
  const planned = await plan({ idle_share: 1 });
  const paused = await plan({ events_per_second: 100 });
  const cancelled = await plan({ events_per_second: 100 });
  const done = await plan({ idle_share: 1 });
  for (const id of [paused, cancelled, done]) await first.admin(`jobs/${id}/start`, {});
  const reaches = (gate: Gate, id: string, what: string, is: (job: JobView) => boolean) =>
    until(async () => {
      const job = await gate.admin<JobView>(`jobs/${id}`);
      return is(job) ? job : undefined;
    }, what);
  for (const id of [paused, cancelled])
    await reaches(first, id, `a part of ${id}`, ({ progress }) => progress.delivered > 0);
  await reaches(first, done, "the end of the quick one", ({ state }) => state === "done");
  await first.admin(`jobs/${paused}/pause`, {});
  await first.admin(`jobs/${cancelled}/cancel`, {});
  const ids = [planned, paused, cancelled, done];
  const views = (gate: Gate) => Promise.all(ids.map((id) => gate.admin<JobView>(`jobs/${id}`)));
  // What was under way when it was told to rest is committed by then.
  const before = await views(first);
  first.running.child.kill("SIGKILL");
  await first.running.finished;

  const second = await start(config);
  const after = await views(second);
  expect(after.map(({ state }) => state)).toEqual(["planned", "paused", "cancelled", "done"]);
  expect(after.map(({ progress }) => progress.delivered)).toEqual(before.map(({ progress }) => progress.delivered));
  await second.admin(`jobs/${planned}/start`, {});
  await second.admin(`jobs/${paused}/rate`, { idle_share: 1 });
  await second.admin(`jobs/${paused}/resume`, {});
  for (const id of [planned, paused]) {
    const { progress } = await reaches(second, id, `the end of ${id}`, ({ state }) => state === "done");
    expect(progress.delivered).toBe(EVENTS);
  }
  const { items } = await second.admin<{ items: Array<{ imbalance: number }> }>("ledger");
  expect(items.map(({ imbalance }) => imbalance)).toEqual([0, 0, 0]);
  second.running.child.kill("SIGTERM");
  expect((await second.running.finished).code).toBe(0);
});
