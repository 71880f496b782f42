import { createHash } from "node:crypto";
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { pulsegate } from "../helpers/cli.ts";
import { type RoleProcess, startRole } from "../helpers/cluster.ts";
import { startTestPostgres } from "../helpers/postgres.ts";
import { startTestRedis } from "../helpers/redis.ts";
import { tempDir } from "../helpers/temp-dir.ts";
import { until } from "../helpers/until.ts";

const ADMIN_TOKEN = "admin-token-for-this-test";
const KEY = "key-of-the-shop";
/** Shorter than the default, so that a takeover is soon seen. */
const LEASE_MS = 2_000;

async function setUp({ quota = "" }: { quota?: string } = {}) {
  const redis = await startTestRedis();
  onTestFinished(() => redis.stop());
  const postgres = await startTestPostgres();
  onTestFinished(() => postgres.stop());
  const dir = await tempDir();
  const config = join(dir, "pulsegate.yaml");
  const text = `version: 1
log: { driver: redis, url: "${redis.url}", path: ./data, lease: ${LEASE_MS}ms }
http: { port: 0 }
ops: { port: 0, admin_token: ${ADMIN_TOKEN} }
workers: { threads: 1 }
tenants:
  - id: shop
    partitions: 16
    keys: [{ id: web, sha256: ${createHash("sha256").update(KEY).digest("hex")} }]
    ${quota}
    plugins: { sinks: [{ name: postgres_sink, id: raw, config: { table: events_raw, url: "${postgres.url}" } }] }
`;
  await writeFile(config, text);
  const start = (role: "api" | "worker" | "admin") => startRole({ config, role });
  const rows = async (): Promise<number> => {
    const found = await postgres.query<{ n: string }>("SELECT count(*) AS n FROM events_raw").catch(() => []);
    return Number(found[0]?.n ?? 0);
  };
  const allRows = (count: number) =>
    until(async () => ((await rows()) >= count ? rows() : undefined), `${count} rows in PostgreSQL`);
  return { redis, postgres, config, text, start, rows, allRows };
}

function post(api: RoleProcess, key: string, body: unknown): Promise<Response> {
  const headers = { "X-API-Key": key, "Content-Type": "application/json" };
  return fetch(`${api.data}/v1/events`, { method: "POST", headers, body: JSON.stringify(body) });
}

/** Events `from` to `to`, by turns through all APIs; resolves when all are acknowledged. */
async function send(apis: readonly RoleProcess[], from: number, to: number): Promise<void> {
  for (let at = from; at < to; at += 50) {
    const several = Array.from({ length: Math.min(50, to - at) }, (_, i) => at + i);
    const answers = await Promise.all(
      several.map((n) =>
        post(apis[n % apis.length] as RoleProcess, KEY, { event_id: `event-${n}`, event_type: "paid", n }),
      ),
    );
    expect(answers.map(({ status }) => status)).toEqual(several.map(() => 202));
  }
}

async function admin<T>(process: RoleProcess, ...args: string[]): Promise<T> {
  const env = { PULSEGATE_ADMIN_URL: process.ops, PULSEGATE_ADMIN_TOKEN: ADMIN_TOKEN };
  const { stdout, stderr, code } = await pulsegate([...args, "--json"], { env });
  expect(stderr).toBe("");
  expect(code).toBe(0);
  return JSON.parse(stdout) as T;
}

interface LedgerLine {
  readonly accepted: number;
  readonly delivered: number;
  readonly pending: number;
  readonly dead: number;
  readonly imbalance: number;
}

async function expectBalance(process: RoleProcess, accepted: number): Promise<void> {
  const total = await until(async () => {
    const { items: all } = await admin<{ items: LedgerLine[] }>(process, "ledger");
    const sum = (field: keyof LedgerLine) => all.reduce((so, line) => so + line[field], 0);
    return sum("pending") === 0
      ? { accepted: sum("accepted"), delivered: sum("delivered"), dead: sum("dead"), imbalance: sum("imbalance") }
      : undefined;
  }, "nothing pending");
  expect(total).toEqual({ accepted, delivered: accepted, dead: 0, imbalance: 0 });
}

test("a worker is killed under load: another takes over, nothing is lost, nothing is counted twice", async () => {
  const { start, allRows } = await setUp();
  const [a, b, w1, , keeper] = await Promise.all([
    start("api"),
    start("api"),
    start("worker"),
    start("worker"),
    start("admin"),
  ]);
  await send([a, b], 0, 500);
  w1.running.signalGroup("SIGKILL");
  await send([a, b], 500, 1_000);
  expect(await allRows(1_000)).toBe(1_000);
  await expectBalance(keeper, 1_000);
}, 240_000);

test("a worker that stood still and lost its slots can't commit when it goes on", async () => {
  const { start, allRows } = await setUp();
  const [api, w1, , keeper] = await Promise.all([start("api"), start("worker"), start("worker"), start("admin")]);
  await send([api], 0, 200);
  await allRows(200);
  w1.running.signalGroup("SIGSTOP");
  await send([api], 200, 700);
  // The other has taken everything over, and delivered it.
  expect(await allRows(700)).toBe(700);
  w1.running.signalGroup("SIGCONT");
  await send([api], 700, 1_000);
  expect(await allRows(1_000)).toBe(1_000);
  await expectBalance(keeper, 1_000);
}, 240_000);

test("keys, configurations and the admin API's changes count in every process", async () => {
  const { start, config, text } = await setUp();
  const [a, b, , keeper] = await Promise.all([start("api"), start("api"), start("worker"), start("admin")]);
  const key = await admin<{ key: string }>(keeper, "keys", "create", "mobile", "--tenant", "shop");
  for (const api of [a, b])
    await until(
      async () => ((await post(api, key.key, { event_type: "paid" })).status === 202 ? true : undefined),
      "the new key counts",
    );
  const other = createHash("sha256").update("key-of-another").digest("hex");
  const next = `${text}  - id: another\n    keys: [{ id: web, sha256: ${other} }]\n`;
  await writeFile(`${config}.next`, next);
  await admin(keeper, "config", "apply", `${config}.next`, "--yes");
  for (const api of [a, b])
    await until(
      async () => ((await post(api, "key-of-another", { event_type: "x" })).status === 202 ? true : undefined),
      "the applied configuration counts",
    );
  expect((await fetch(`${a.ops}/admin/v1/tenants`)).status).toBe(404);
  const detail = (await (await fetch(`${a.ops}/readyz`)).json()) as { role: string; quotas: { processes: number } };
  expect(detail).toMatchObject({ role: "api", quotas: { sharing: "shared" } });
  expect(await readFile(config, "utf8")).toBe(text);
}, 240_000);

test("a worker that is told to stop hands its slots over at once", async () => {
  const { start, allRows } = await setUp();
  const [api, w1, , keeper] = await Promise.all([start("api"), start("worker"), start("worker"), start("admin")]);
  await send([api], 0, 300);
  w1.running.child.kill("SIGTERM");
  await send([api], 300, 600);
  expect((await w1.running.finished).code).toBe(0);
  expect(await allRows(600)).toBe(600);
  await expectBalance(keeper, 600);
}, 240_000);

interface Lane {
  readonly id: string;
  readonly cursor: number;
}

test("the role admin has workers in other processes skip an event and preview a replay", async () => {
  const { start, allRows } = await setUp();
  const [api, , , keeper] = await Promise.all([start("api"), start("worker"), start("worker"), start("admin")]);
  await send([api], 0, 64);
  await allRows(64);
  const { items: lanes } = await admin<{ items: Lane[] }>(keeper, "lanes", "list");
  const { id: lane, cursor } = lanes[0] as Lane;
  await admin(keeper, "lanes", "pause", lane, "--reason", "a look");
  await send([api], 64, 400);
  await admin(keeper, "lanes", "skip", lane, String(cursor), "--reason", "it crashes the sink");
  const letter = await admin<{ stage: string; message: string }>(keeper, "dlq", "show", `${lane}/${cursor}`);
  expect(letter).toMatchObject({ stage: "operator", message: "it crashes the sink" });
  const wrong = await pulsegate(["lanes", "skip", lane, String(cursor), "--reason", "again"], {
    env: { PULSEGATE_ADMIN_URL: keeper.ops, PULSEGATE_ADMIN_TOKEN: ADMIN_TOKEN },
  });
  expect(wrong).toMatchObject({ code: 1, stderr: expect.stringContaining(`its cursor is at ${cursor + 1}`) });
  await admin(keeper, "lanes", "resume", lane);
  expect(await allRows(399)).toBe(399);

  const preview = await admin<{ sinks: Array<{ sink: string; events: number }> }>(
    ...[keeper, "replay", "create", "--tenant", "shop", "--from", "1h", "--preview"],
  );
  expect(preview.sinks).toMatchObject([{ sink: "raw", events: 400 }]);
}, 240_000);

test("a trial's tenants count in every process when it has begun, and are gone from each when it has ended", async () => {
  const { start } = await setUp();
  const [a, b, , keeper] = await Promise.all([start("api"), start("api"), start("worker"), start("admin")]);
  const headers = { authorization: `Bearer ${ADMIN_TOKEN}`, "content-type": "application/json" };
  const sha256 = createHash("sha256").update("key-of-the-trial").digest("hex");
  const tenant = { id: "trial-of-roles", keys: [{ id: "prove", sha256 }] };
  const begun = await fetch(`${keeper.ops}/admin/v1/trials`, {
    method: "POST",
    headers,
    body: JSON.stringify({ tenants: [tenant], ttl_seconds: 60 }),
  });
  expect(begun.status).toBe(201);
  const { id } = (await begun.json()) as { id: string };
  for (const api of [a, b]) expect((await post(api, "key-of-the-trial", { event_type: "paid" })).status).toBe(202);
  const ended = await fetch(`${keeper.ops}/admin/v1/trials/${id}`, { method: "DELETE", headers });
  expect(ended.ok).toBe(true);
  for (const api of [a, b]) expect((await post(api, "key-of-the-trial", { event_type: "paid" })).status).toBe(401);
}, 240_000);
