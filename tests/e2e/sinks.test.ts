import { createHash } from "node:crypto";
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { Webhook } from "standardwebhooks";
import { afterAll, beforeAll, expect, onTestFinished, test } from "vitest";
import { spawnPulsegate } from "../helpers/cli.ts";
import { type Endpoint, startEndpoint } from "../../plugins/testing/endpoint.ts";
import { startTestPostgres, type TestPostgres } from "../helpers/postgres.ts";
import { startProxy } from "../../plugins/testing/proxy.ts";
import { tempDir } from "../helpers/temp-dir.ts";
import { until } from "../helpers/until.ts";

const ADMIN_TOKEN = "admin-token-for-this-test";
const SECRET = `whsec_${Buffer.alloc(32, 5).toString("base64")}`;
const KEY = "shop-key";

let postgres: TestPostgres;
beforeAll(async () => {
  postgres = await startTestPostgres();
});
afterAll(async () => {
  await postgres.stop();
});

interface LaneView {
  readonly sink: string;
  readonly cursor: number;
  readonly breaker: string;
  readonly last_error?: string;
}

interface Running {
  readonly endpoint: Endpoint;
  /** Between PulseGate and the database. */
  readonly proxy: Awaited<ReturnType<typeof startProxy>>;
  readonly post: (from: number, count: number) => Promise<void>;
  /** Event ids that each sink holds. */
  readonly held: { table(): Promise<string[]>; hook(): string[]; file(): Promise<string[]> };
  readonly lane: (sink: string) => Promise<LaneView>;
  /** Writes the configuration anew, the webhook's path changed. */
  readonly moveHook: (path: string) => Promise<void>;
  readonly metrics: () => Promise<string>;
}

async function start(name: string): Promise<Running> {
  const dir = await tempDir();
  const endpoint = await startEndpoint();
  onTestFinished(() => endpoint.close());
  const proxy = await startProxy(() => ({ host: "127.0.0.1", port: postgres.port }));
  onTestFinished(() => proxy.close());
  const database = new URL(await postgres.createDatabase(name));
  const direct = database.href;
  database.port = String(proxy.port);
  const file = join(dir, "events.ndjson");
  const config = join(dir, "pulsegate.yaml");
  const write = (path: string) =>
    writeFile(
      config,
      `log: { path: ./data }
http: { port: 0 }
ops: { port: 0, admin_token: ${ADMIN_TOKEN} }
tenants:
  - id: shop
    keys: [{ id: web, sha256: ${createHash("sha256").update(KEY).digest("hex")} }]
    plugins:
      sinks:
        - { name: postgres_sink, id: table, config: { url: "${database.href}" } }
        - name: webhook_sink
          id: hook
          config: { url: "http://localhost:${endpoint.port}${path}", secrets: ["\${HOOK_SECRET}"], allow: [localhost] }
        - { name: file_sink, id: file, config: { path: ${JSON.stringify(file)} } }
`,
    );
  await write("/hook");
  const running = spawnPulsegate(["start", "--config", config], { env: { HOOK_SECRET: SECRET } });
  const [line] = await running.output(/^.*"msg":"ready".*$/m);
  const { data, ops } = JSON.parse(line) as { data: string; ops: string };
  const authorization = { Authorization: `Bearer ${ADMIN_TOKEN}` };
  return {
    endpoint,
    proxy,
    async post(from, count) {
      const lines = Array.from(
        { length: count },
        (_, i) => `{"event_type":"a","event_id":"e${from + i}","payload":{}}`,
      );
      const headers = { "X-API-Key": KEY, "Content-Type": "application/x-ndjson" };
      const answer = await fetch(`${data}/v1/events/batch`, { method: "POST", headers, body: lines.join("\n") });
      expect(answer.status).toBe(202);
      await answer.arrayBuffer();
    },
    held: {
      async table() {
        const sql = "SELECT event_id FROM events_raw";
        const rows = await postgres.query<{ event_id: string }>(sql, [], direct).catch(() => []);
        return rows.map((row) => row.event_id);
      },
      hook: () => endpoint.taken.map(({ headers }) => String(headers["webhook-id"])),
      async file() {
        const text = await readFile(file, "utf8").catch(() => "");
        // What follows the last line end is being written.
        return text
          .split("\n")
          .slice(0, -1)
          .flatMap((one) => (one === "" ? [] : [(JSON.parse(one) as { event_id: string }).event_id]));
      },
    },
    async lane(sink) {
      const answer = await fetch(`${ops}/admin/v1/lanes`, { headers: authorization });
      const { items } = (await answer.json()) as { items: LaneView[] };
      return items.find((lane) => lane.sink === sink) as LaneView;
    },
    async moveHook(path) {
      await write(path);
      running.child.kill("SIGHUP");
      await running.output(/"msg":"configuration changed"/);
    },
    metrics: async () => (await fetch(`${ops}/metrics`)).text(),
  };
}

/** Resolves when the sink holds events 0 to `count` - 1, each at least once. */
function holds(ask: () => Promise<string[]> | string[], count: number, what: string): Promise<true> {
  return until(async () => (new Set(await ask()).size === count ? true : undefined), `${count} events in ${what}`);
}

test("one tenant's events reach table, webhook and file; an outage of one sink holds up its lane alone", async () => {
  const { endpoint, proxy, post, held, lane } = await start("e2e_sinks");
  await post(0, 100);
  await Promise.all([
    holds(held.table, 100, "the table"),
    holds(held.hook, 100, "the hook"),
    holds(held.file, 100, "the file"),
  ]);
  for (const { body, headers } of endpoint.taken)
    expect(() => new Webhook(SECRET).verify(body, headers as Record<string, string>)).not.toThrow();

  endpoint.answer = (_, response) => void response.writeHead(503).end();
  await post(100, 100);
  await Promise.all([holds(held.table, 200, "the table"), holds(held.file, 200, "the file")]);
  const out = await until(async () => {
    const view = await lane("hook");
    return view.breaker === "closed" ? undefined : view;
  }, "the hook's breaker");
  expect(out).toMatchObject({ cursor: 100, last_error: expect.stringContaining("503") });

  proxy.refuse(true);
  proxy.cut();
  endpoint.answer = undefined;
  await post(200, 100);
  await Promise.all([holds(held.hook, 300, "the hook"), holds(held.file, 300, "the file")]);
  expect((await held.table()).length).toBe(200);
  proxy.refuse(false);
  await holds(held.table, 300, "the table");
});

test("410 disables a webhook and shows it; a new revision enables it, and nothing was lost", async () => {
  const { endpoint, post, held, lane, moveHook, metrics } = await start("e2e_gone");
  endpoint.answer = ({ path }, response) => void response.writeHead(path === "/hook" ? 410 : 204).end();
  await post(0, 50);
  await holds(held.file, 50, "the file");
  const gone = await until(async () => {
    const view = await lane("hook");
    return view.breaker === "open" ? view : undefined;
  }, "the hook's breaker");
  expect(gone).toMatchObject({ cursor: 0, last_error: expect.stringMatching(/410 Gone and is disabled/) });
  expect(await metrics()).toMatch(
    /pulsegate_plugin_events_total\{plugin="webhook_sink",name="disabled_total"[^}]*\} 1/,
  );
  const asked = endpoint.received.length;
  await post(50, 50);
  await holds(held.file, 100, "the file");
  expect(endpoint.received.length).toBe(asked);
  expect(held.hook()).toEqual([]);

  await moveHook("/moved");
  await holds(held.hook, 100, "the hook");
  expect(await lane("hook")).toMatchObject({ breaker: "closed" });
});
