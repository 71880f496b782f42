import { createHash } from "node:crypto";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, test } from "vitest";
import { pulsegate, spawnPulsegate } from "../helpers/cli.ts";
import { tempDir } from "../helpers/temp-dir.ts";

const TOKEN = "admin-token-for-this-test";

test("top shows tenants over their quota and lanes, as a table of 80 columns and as JSON", async () => {
  const dir = await tempDir();
  const config = join(dir, "pulsegate.yaml");
  const sha256 = createHash("sha256").update("a-key").digest("hex");
  await writeFile(
    config,
    `version: 1
log: { path: ./data }
http: { port: 0 }
ops: { port: 0, admin_token: ${TOKEN} }
tenants:
  - id: shop
    keys: [{ id: web, sha256: ${sha256} }]
    quota: { events_per_second: 1/s, burst: 3 }
    plugins: { sinks: [{ name: file_sink, id: raw, config: { path: ${JSON.stringify(join(dir, "out.ndjson"))} } }] }
`,
  );
  const running = spawnPulsegate(["start", "--config", config]);
  const [line] = await running.output(/^.*"msg":"ready".*$/m);
  const { data, ops } = JSON.parse(line) as { data: string; ops: string };
  const env = { PULSEGATE_ADMIN_URL: ops, PULSEGATE_ADMIN_TOKEN: TOKEN };
  const ended = new AbortController();
  const statuses = new Set<number>();
  const sending = (async () => {
    const request = {
      method: "POST",
      headers: { "X-API-Key": "a-key", "Content-Type": "application/json" },
      body: '{"event_type":"a"}',
    };
    while (!ended.signal.aborted) statuses.add((await fetch(`${data}/v1/events`, request)).status);
  })();
  const [table, json] = await Promise.all([
    pulsegate(["top", "--interval", "2"], { env }),
    pulsegate(["top", "--interval", "2", "--json"], { env }),
  ]);
  ended.abort();
  await sending;
  expect([table.code, json.code]).toEqual([0, 0]);
  expect(statuses).toEqual(new Set([202, 429]));
  for (const row of table.stdout.split("\n")) expect(row.length).toBeLessThanOrEqual(80);
  expect(table.stdout).toMatch(/^TENANT +IN\/S .*BREAKER\nshop +.* raw .* closed\n$/);
  const { items } = JSON.parse(json.stdout) as { items: Array<Record<string, number | string>> };
  expect(items).toMatchObject([{ tenant: "shop", sink: "raw", breaker: "closed" }]);
  expect(items[0]?.["refused_per_second"]).toBeGreaterThan(Number(items[0]?.["accepted_per_second"]));
});

test("top says what to do when no PulseGate is there", async () => {
  const env = { PULSEGATE_ADMIN_URL: "http://127.0.0.1:9", PULSEGATE_ADMIN_TOKEN: TOKEN };
  const { code, stderr } = await pulsegate(["top"], { env });
  expect(code).toBe(3);
  expect(stderr).toContain("could not reach PulseGate at http://127.0.0.1:9");
  expect(stderr).toContain("next: ");
});
