import { createHash } from "node:crypto";
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, test } from "vitest";
import { pulsegate, spawnPulsegate } from "../helpers/cli.ts";
import { tempDir } from "../helpers/temp-dir.ts";
import { until } from "../helpers/until.ts";

const TOKEN = "the-admin-token-of-this-test";
const sha256 = (text: string): string => createHash("sha256").update(text).digest("hex");
/** Of each tenant; some 3 MB, of which one tenant keeps 1 MiB. */
const EVENTS = 3_000;
const FILLING = "x".repeat(900);

function yaml(dir: string): string {
  const tenant = (id: string, more: string) => `  - id: ${id}
    keys: [{ id: web, sha256: ${sha256(id)} }]
${more}    plugins: { sinks: [{ name: file_sink, id: raw, config: { path: ${join(dir, `${id}.ndjson`)} } }] }
`;
  return `version: 1
log: { path: ./data }
http: { port: 0 }
ops: { port: 0, tokens: [{ id: night, role: admin, sha256: ${sha256(TOKEN)} }] }
tenants:
${tenant("flood", "    retention: { bytes: 1MiB, when_full: drop_oldest }\n")}${tenant("calm", "    retention: { bytes: 1MiB }\n")}`;
}

interface Account {
  readonly accepted: number;
  readonly delivered: number;
  readonly filtered: number;
  readonly filtered_by_reason: Readonly<Record<string, number>>;
  readonly pending: number;
  readonly imbalance: number;
}

async function start(dir: string) {
  const running = spawnPulsegate(["start", "--config", join(dir, "pulsegate.yaml")]);
  const [, data = "", ops = ""] = await running.output(/"data":"([^"]+)","ops":"([^"]+)"/);
  const env = { PULSEGATE_ADMIN_URL: ops, PULSEGATE_ADMIN_TOKEN: TOKEN };
  const cli = async (...args: readonly string[]) => {
    const { code, stdout, stderr } = await pulsegate(args, { env });
    expect([code, stderr], args.join(" ")).toEqual([0, ""]);
    return stdout;
  };
  const account = async (tenant: string) => {
    const { items } = JSON.parse(await cli("ledger", "--tenant", tenant, "--json")) as { items: Account[] };
    return items[0] as Account;
  };
  const metrics = async () => (await fetch(`${ops}/metrics`)).text();
  const send = async (tenant: string) => {
    const lines = Array.from({ length: EVENTS }, (_, i) =>
      JSON.stringify({ event_type: "a", event_id: `${tenant}-${i}`, payload: { FILLING } }),
    );
    const headers = { "X-API-Key": tenant, "Content-Type": "application/x-ndjson" };
    const answer = await fetch(`${data}/v1/events/batch`, { method: "POST", headers, body: lines.join("\n") });
    const { results } = (await answer.json()) as { results: unknown[] };
    expect([answer.status, results.length]).toEqual([202, EVENTS]);
  };
  return { running, cli, account, metrics, send };
}

/** Ids in the order in which they were delivered. */
async function delivered(dir: string, tenant: string): Promise<string[]> {
  const text = await readFile(join(dir, `${tenant}.ndjson`), "utf8");
  return text.split("\n").flatMap((line) => /"event_id":"([^"]+)"/.exec(line)?.[1] ?? []);
}

test("drop_oldest lets the oldest undelivered events go, counts each of them, and loses nothing else", async () => {
  const dir = await tempDir();
  await writeFile(join(dir, "pulsegate.yaml"), yaml(dir));
  let gate = await start(dir);
  for (const tenant of ["flood", "calm"]) {
    await gate.cli("lanes", "pause", `${tenant}/0/raw`, "--reason", "the target is away");
    await gate.send(tenant);
  }
  // Trimmed once a minute.
  await gate.running.output(/"lane":"flood\/0\/raw","events":\d+,"msg":"the oldest undelivered events were dropped/);
  const after = await gate.account("flood");
  const dropped = after.filtered_by_reason["dropped_oldest"] as number;
  expect(dropped).toBeGreaterThan(EVENTS / 2);
  expect(after).toMatchObject({ accepted: EVENTS, delivered: 0, filtered: dropped, imbalance: 0 });
  expect(after.pending).toBe(EVENTS - dropped);
  const metrics = await gate.metrics();
  expect(metrics).toContain(`pulsegate_log_dropped_events_total{tenant="flood"} ${dropped}\n`);
  expect(metrics).not.toContain('pulsegate_log_dropped_events_total{tenant="calm"}');
  expect(metrics).toContain("pulsegate_ledger_imbalance 0\n");
  expect(await gate.account("calm")).toMatchObject({ accepted: EVENTS, filtered: 0, pending: EVENTS });

  gate.running.signalGroup("SIGKILL");
  await gate.running.finished;
  gate = await start(dir);
  expect(await gate.account("flood")).toEqual(after);
  for (const tenant of ["flood", "calm"]) await gate.cli("lanes", "resume", `${tenant}/0/raw`);
  for (const tenant of ["flood", "calm"])
    await until(async () => ((await gate.account(tenant)).pending === 0 ? true : undefined), `the rest of ${tenant}`);
  const kept = (tenant: string, from: number) =>
    Array.from({ length: EVENTS - from }, (_, i) => `${tenant}-${from + i}`);
  expect(await delivered(dir, "flood")).toEqual(kept("flood", dropped));
  expect(await delivered(dir, "calm")).toEqual(kept("calm", 0));
  expect(await gate.account("flood")).toMatchObject({ delivered: EVENTS - dropped, filtered: dropped, imbalance: 0 });
  await gate.cli("ledger", "--audit");
  gate.running.signalGroup("SIGTERM");
  expect((await gate.running.finished).code).toBe(0);
}, 180_000);
