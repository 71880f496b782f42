import { createHash } from "node:crypto";
import { readFile, rename, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, test } from "vitest";
import { type Running, spawnPulsegate } from "../helpers/cli.ts";
import { tempDir } from "../helpers/temp-dir.ts";
import { until } from "../helpers/until.ts";

const ADMIN_TOKEN = "admin-token-for-this-test";

interface TenantSpec {
  readonly id: string;
  readonly key: string;
}

function yaml(dir: string, tenants: readonly TenantSpec[], extra = ""): string {
  return `version: 1
log: { path: ./data }
http: { port: 0 }
ops: { port: 0, admin_token: ${ADMIN_TOKEN} }
tenants:
${tenants
  .map(
    ({ id, key }) => `  - id: ${id}
    keys: [{ id: web, sha256: ${createHash("sha256").update(key).digest("hex")} }]
    plugins: { sinks: [{ name: file_sink, config: { path: ${JSON.stringify(join(dir, `${id}.ndjson`))} } }] }
`,
  )
  .join("")}${extra}`;
}

interface Started {
  readonly running: Running;
  readonly data: string;
  readonly ops: string;
  readonly dir: string;
  readonly config: string;
}

async function start(tenants: readonly TenantSpec[]): Promise<Started> {
  const dir = await tempDir();
  const config = join(dir, "pulsegate.yaml");
  await writeFile(config, yaml(dir, tenants));
  const running = spawnPulsegate(["start", "--config", config]);
  const [line] = await running.output(/^.*"msg":"ready".*$/m);
  const { data, ops } = JSON.parse(line) as { data: string; ops: string };
  return { running, data, ops, dir, config };
}

function post(url: string, key: string, body: string): Promise<Response> {
  const headers = { "X-API-Key": key, "Content-Type": "application/json" };
  return fetch(`${url}/v1/events`, { method: "POST", headers, body });
}

/** As editors and Kubernetes do it. */
async function replaceFile(path: string, text: string): Promise<void> {
  await writeFile(`${path}.new`, text);
  await rename(`${path}.new`, path);
}

async function configState(
  ops: string,
): Promise<{ revision: number; refused?: { problems: Array<{ line: number }> } }> {
  const answer = await fetch(`${ops}/admin/v1/config`, { headers: { Authorization: `Bearer ${ADMIN_TOKEN}` } });
  return (await answer.json()) as never;
}

test("a changed file becomes the next revision; a bad one is refused, readable, and changes nothing", async () => {
  const shop = { id: "shop", key: "shop-key" };
  const cafe = { id: "cafe", key: "cafe-key" };
  const { running, data, ops, dir, config } = await start([shop]);
  expect((await post(data, cafe.key, '{"event_type":"a"}')).status).toBe(401);

  await replaceFile(config, yaml(dir, [shop, cafe]));
  await running.output(/"revision":2,"msg":"configuration changed"/);
  expect((await post(data, cafe.key, '{"event_type":"a","n":1}')).status).toBe(202);
  expect((await post(data, shop.key, '{"event_type":"a","n":2}')).status).toBe(202);
  for (const { id } of [shop, cafe]) {
    const line = await until(
      async () => (await readFile(join(dir, `${id}.ndjson`), "utf8").catch(() => "")) || undefined,
      `${id}'s event`,
    );
    expect(line).toContain(`"tenant_id":"${id}"`);
  }

  await replaceFile(config, yaml(dir, [shop], "  - id: 'no good'\n"));
  await running.output(/the changed configuration is refused/);
  const refused = await configState(ops);
  expect(refused.revision).toBe(2);
  expect(refused.refused?.problems[0]?.line).toBe(9);
  expect((await post(data, cafe.key, '{"event_type":"a"}')).status).toBe(202);

  await writeFile(config, yaml(dir, [shop]));
  running.child.kill("SIGHUP");
  await running.output(/"revision":3,"msg":"configuration changed"/);
  expect((await post(data, cafe.key, '{"event_type":"a"}')).status).toBe(401);
  // The lane of the tenant that is gone stays, is told, and is measured.
  await running.output(/"lane":"cafe\/0\/file_sink","pending":0,"msg":"the sink of this lane is gone/);
  expect(await (await fetch(`${ops}/metrics`)).text()).toMatch(/^pulsegate_stream_lag\{tenant="cafe",.*\} 0$/m);
  running.child.kill("SIGTERM");
  expect((await running.finished).code).toBe(0);
});

test("SIGTERM under load loses nothing that was acknowledged", async () => {
  const shop = { id: "shop", key: "shop-key" };
  const { running, data, dir } = await start([shop]);
  const acked = new Set<string>();
  let stopping = false;
  const client = async (name: number): Promise<void> => {
    for (let n = 0; ; n++) {
      const id = `${name}-${n}`;
      const body = JSON.stringify({ event_type: "a", event_id: id, payload: {} });
      const answer = await post(data, shop.key, body).catch(() => undefined);
      if (answer?.status === 202) acked.add(id);
      // Refused or not reached: only once the server was asked to stop.
      else if (stopping) return;
      else throw new Error(`${answer?.status} before the stop`);
    }
  };
  const clients = Array.from({ length: 16 }, (_, name) => client(name));
  await until(() => (acked.size > 200 ? true : undefined), "200 acks");
  stopping = true;
  running.child.kill("SIGTERM");
  await Promise.all(clients);
  expect((await running.finished).code).toBe(0);

  const again = spawnPulsegate(["start", "--config", join(dir, "pulsegate.yaml")]);
  await again.output(/"msg":"ready"/);
  const delivered = await until(async () => {
    const text = await readFile(join(dir, "shop.ndjson"), "utf8");
    const ids = new Set(
      text
        .trimEnd()
        .split("\n")
        .map((line) => (JSON.parse(line) as { event_id: string }).event_id),
    );
    return [...acked].every((id) => ids.has(id)) ? ids : undefined;
  }, "every acknowledged event");
  expect(delivered.size).toBeGreaterThanOrEqual(acked.size);
});

test("a configuration that is no good is told whole, with places, and nothing starts", async () => {
  const dir = await tempDir();
  const config = join(dir, "bad.yaml");
  await writeFile(config, "tenants:\n  - id: a\n    plugins:\n      sinks: [{ name: nowhere_sink }]\n  - id: a\n");
  const running = spawnPulsegate(["start", "--config", config]);
  const { code, stderr } = await running.finished;
  expect(code).toBe(1);
  expect(stderr).toMatch(/bad\.yaml:4:\d+: .*nowhere_sink/);
  expect(stderr).toMatch(/bad\.yaml:5:\d+: .*/);
});

test.each(["api", "worker", "admin"])(
  "the embedded log is not shared: the role %s is refused, with what to do",
  async (role) => {
    const dir = await tempDir();
    const config = join(dir, "pulsegate.yaml");
    await writeFile(config, yaml(dir, [{ id: "shop", key: "key-of-the-shop" }]));
    const { code, stderr } = await spawnPulsegate(["start", "--config", config, "--role", role]).finished;
    expect([code, stderr]).toEqual([2, expect.stringContaining("Next: start with --role all")]);
  },
);
