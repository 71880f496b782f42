import { execFile } from "node:child_process";
import { createHash } from "node:crypto";
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { expect, test } from "vitest";
import { pulsegate, spawnPulsegate } from "../helpers/cli.ts";
import type { Running } from "../helpers/cli.ts";
import { tempDir } from "../helpers/temp-dir.ts";
import { until } from "../helpers/until.ts";

const TOKEN = "the-admin-token-of-this-test";
const VIEWER = "the-viewer-token-of-this-test";
const sha256 = (text: string): string => createHash("sha256").update(text).digest("hex");

function yaml(dir: string, more = ""): string {
  return `version: 1
log: { path: ./data }
http: { port: 0 }
ops:
  port: 0
  tokens:
    - { id: night, role: admin, sha256: ${sha256(TOKEN)} }
    - { id: grafana, role: viewer, sha256: ${sha256(VIEWER)} }
tenants:
  - id: shop
    keys: [{ id: web, sha256: ${sha256("key-in-the-file")} }]
    plugins: { sinks: [{ name: file_sink, id: raw, config: { path: ${join(dir, "out.ndjson")} } }] }
${more}`;
}

interface Instance {
  readonly running: Running;
  readonly data: string;
  cli(...args: readonly string[]): ReturnType<typeof pulsegate>;
  send(key: string, eventId: string): Promise<number>;
}

async function start(dir: string): Promise<Instance> {
  const running = spawnPulsegate(["start", "--config", join(dir, "pulsegate.yaml")]);
  const [, data = "", ops = ""] = await running.output(/"data":"([^"]+)","ops":"([^"]+)"/);
  const env = { PULSEGATE_ADMIN_URL: ops, PULSEGATE_ADMIN_TOKEN: TOKEN };
  return {
    running,
    data,
    cli: (...args) => pulsegate(args, { env }),
    async send(key, eventId) {
      const response = await fetch(`${data}/v1/events`, {
        method: "POST",
        headers: { "x-api-key": key, "content-type": "application/json" },
        body: JSON.stringify({ event_type: "order_paid", event_id: eventId, payload: {} }),
      });
      await response.arrayBuffer();
      return response.status;
    },
  };
}

async function delivered(dir: string): Promise<string[]> {
  const text = await readFile(join(dir, "out.ndjson"), "utf8").catch(() => "");
  return text
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => JSON.parse(line).event_id as string);
}

test("keys are made, rotated and revoked while PulseGate runs, and outlive it", async () => {
  const dir = await tempDir();
  await writeFile(join(dir, "pulsegate.yaml"), yaml(dir));
  let gate = await start(dir);
  const made = JSON.parse((await gate.cli("keys", "create", "mobile", "--tenant", "shop", "--json")).stdout);
  expect(await gate.send(made.key, "e1")).toBe(202);
  const rotated = JSON.parse((await gate.cli("keys", "rotate", "mobile", "--json")).stdout);
  expect([await gate.send(made.key, "e2"), await gate.send(rotated.key, "e3")]).toEqual([202, 202]);
  expect((await gate.cli("keys", "revoke", "web", "--reason", "leaked")).code).toBe(2);
  expect((await gate.cli("keys", "revoke", "web", "--reason", "leaked", "--yes")).code).toBe(0);
  expect(await gate.send("key-in-the-file", "e4")).toBe(401);

  gate.running.signalGroup("SIGTERM");
  expect((await gate.running.finished).code).toBe(0);
  gate = await start(dir);
  expect([await gate.send(rotated.key, "e5"), await gate.send("key-in-the-file", "e6")]).toEqual([202, 401]);
  const audit = JSON.parse((await gate.cli("audit", "--json")).stdout).items as Array<Record<string, unknown>>;
  expect(audit.map(({ action, reason }) => [action, reason])).toEqual([
    ["revoke_key", "leaked"],
    ["rotate_key", undefined],
    ["create_key", undefined],
  ]);
  expect(audit[0]).toMatchObject({ who: { id: "night" }, before: { state: "active" }, after: { state: "revoked" } });
  gate.running.signalGroup("SIGTERM");
  await gate.running.finished;
});

test("a paused lane stays paused across kill -9, skips its poison, and goes on when resumed", async () => {
  const dir = await tempDir();
  await writeFile(join(dir, "pulsegate.yaml"), yaml(dir));
  let gate = await start(dir);
  expect(await gate.send("key-in-the-file", "e0")).toBe(202);
  await until(async () => ((await delivered(dir)).length === 1 ? true : undefined), "the first event");
  expect((await gate.cli("lanes", "pause", "shop/0/raw", "--reason", "table locked")).stdout).toContain("paused, at 1");
  expect(await gate.send("key-in-the-file", "poison")).toBe(202);

  gate.running.signalGroup("SIGKILL");
  await gate.running.finished;
  gate = await start(dir);
  expect(await gate.send("key-in-the-file", "e2")).toBe(202);
  const lanes = JSON.parse((await gate.cli("lanes", "list", "--json")).stdout).items;
  expect(lanes).toMatchObject([{ state: "paused", lag_events: 2, paused_by: "night", reason: "table locked" }]);
  expect((await gate.cli("lanes", "skip", "shop/0/raw", "2", "--reason", "poison")).code).toBe(1);
  const skipped = await gate.cli("lanes", "skip", "shop/0/raw", "1", "--reason", "crashes the sink");
  expect(skipped.stdout).toContain("pulsegate dlq show shop/0/raw/1");
  expect((await gate.cli("lanes", "resume", "shop/0/raw")).stdout).toContain("running");
  await until(async () => ((await delivered(dir)).includes("e2") ? true : undefined), "what waited");
  expect(await delivered(dir)).toEqual(["e0", "e2"]);
  const letter = JSON.parse((await gate.cli("dlq", "show", "shop/0/raw/1", "--json")).stdout);
  expect(letter).toMatchObject({ event_id: "poison", stage: "operator", code: "skipped", message: "crashes the sink" });
  expect((await gate.cli("ledger", "--audit")).code).toBe(0);
  gate.running.signalGroup("SIGTERM");
  await gate.running.finished;
});

test("a configuration is applied, survives a restart, is compared and rolled back", async () => {
  const dir = await tempDir();
  await writeFile(join(dir, "pulsegate.yaml"), yaml(dir));
  const next = join(dir, "next.yaml");
  await writeFile(next, yaml(dir, "  - id: bakery\n"));
  let gate = await start(dir);
  await writeFile(join(dir, "bad.yaml"), yaml(dir, "  - id: shop\n"));
  const bad = await gate.cli("config", "apply", join(dir, "bad.yaml"), "--yes");
  expect([bad.code, bad.stderr]).toEqual([1, expect.stringMatching(/bad\.yaml:\d+:\d+: .*the same tenant id/)]);
  expect((await gate.cli("config", "apply", next, "--yes")).stdout).toBe("revision 2 runs\n");
  expect((await gate.cli("config", "diff", "1", "2")).stdout).toContain("+  - id: bakery");
  // Whoever has seen revision 1 has not seen what runs.
  const [, seen = ""] = await gate.running.output(/"ops":"([^"]+)"/);
  const headers = { authorization: `Bearer ${TOKEN}`, "content-type": "application/yaml", "if-match": '"1"' };
  const late = await fetch(`${seen}/admin/v1/config/apply`, { method: "POST", headers, body: yaml(dir) });
  expect([late.status, await late.json()]).toEqual([412, expect.objectContaining({ code: "precondition_failed" })]);

  gate.running.signalGroup("SIGTERM");
  await gate.running.finished;
  gate = await start(dir);
  const tenants = JSON.parse((await gate.cli("tenants", "list", "--json")).stdout).items as Array<{ id: string }>;
  expect(tenants.map(({ id }) => id)).toEqual(["bakery", "shop"]);
  expect((await gate.cli("config", "rollback", "1", "--yes")).code).toBe(0);
  expect((await gate.cli("tenants", "show", "bakery")).code).toBe(1);
  const shown = (await gate.cli("config", "revisions")).stdout;
  expect(shown).toMatch(/^3 +\* +\S+ +api +night$/m);

  // Who may only look, may not do; and learns what would be needed.
  const viewer = { PULSEGATE_ADMIN_URL: "", PULSEGATE_ADMIN_TOKEN: VIEWER };
  const [, ops = ""] = await gate.running.output(/"ops":"([^"]+)"/);
  const refused = await pulsegate(["lanes", "pause", "shop/0/raw"], { env: { ...viewer, PULSEGATE_ADMIN_URL: ops } });
  expect([refused.code, refused.stderr]).toEqual([1, expect.stringContaining("this needs the role operator")]);
  gate.running.signalGroup("SIGTERM");
  await gate.running.finished;
});

test("a replay is watched, slowed, paused and gone on with; Ctrl-C leaves it running", async () => {
  const dir = await tempDir();
  await writeFile(join(dir, "pulsegate.yaml"), yaml(dir));
  const gate = await start(dir);
  for (let i = 0; i < 40; i++) await gate.send("key-in-the-file", `e${i}`);
  const planned = JSON.parse((await gate.cli("replay", "create", "--from", "1h", "--rate", "1", "--json")).stdout);
  expect(planned).toMatchObject({ state: "planned", events: 40, progress: { settled: 0 } });
  const [, ops = ""] = await gate.running.output(/"ops":"([^"]+)"/);
  const env = { PULSEGATE_ADMIN_URL: ops, PULSEGATE_ADMIN_TOKEN: TOKEN };
  const watching = spawnPulsegate(["replay", "start", planned.id, "--yes"], { env });
  const job = async () => JSON.parse((await gate.cli("replay", "show", planned.id, "--json")).stdout);
  await until(async () => ((await job()).progress.settled > 0 ? true : undefined), "the first event");
  watching.signalGroup("SIGINT");
  const { code, stderr } = await watching.finished;
  expect([code, stderr]).toEqual([130, expect.stringContaining(`the job ${planned.id} goes on`)]);
  expect((await gate.cli("replay", "pause", planned.id)).stdout).toContain("paused");
  const rested = await job();
  expect(rested.progress.settled).toBeLessThan(40);
  expect((await gate.cli("replay", "rate", planned.id, "--idle-share", "1")).code).toBe(0);
  expect((await gate.cli("replay", "resume", planned.id)).code).toBe(0);
  expect((await gate.cli("replay", "watch", planned.id)).stdout).toContain("done: delivered 40");
  expect((await gate.cli("replay", "cancel", planned.id)).stderr).toMatch(/409 .*\n {2}why: .*is done/);
  gate.running.signalGroup("SIGTERM");
  await gate.running.finished;
});

test("events are followed live, and the completion of a shell is one that the shell takes", async () => {
  const dir = await tempDir();
  await writeFile(join(dir, "pulsegate.yaml"), yaml(dir));
  const gate = await start(dir);
  const [, ops = ""] = await gate.running.output(/"ops":"([^"]+)"/);
  const env = { PULSEGATE_ADMIN_URL: ops, PULSEGATE_ADMIN_TOKEN: VIEWER };
  const tail = spawnPulsegate(["events", "tail", "--count", "2"], { env });
  let sent = 0;
  const ended = tail.finished.then(() => true);
  // The tail begins somewhere between these.
  while (!(await Promise.race([ended, gate.send("key-in-the-file", `e${sent++}`).then(() => false)])));
  const { code, stdout } = await tail.finished;
  expect(code).toBe(0);
  expect(stdout.trimEnd().split("\n")).toEqual([
    expect.stringMatching(/^\S+Z {2}order_paid {2}e\d+ {2}\{\}$/),
    expect.stringMatching(/^\S+Z {2}order_paid {2}e\d+ {2}\{\}$/),
  ]);
  const script = (await gate.cli("completion", "bash")).stdout;
  await writeFile(
    join(dir, "completion.bash"),
    `${script}\nCOMP_WORDS=(pulsegate dlq re); COMP_CWORD=2; _pulsegate; echo "$COMPREPLY"\n`,
  );

  expect((await promisify(execFile)("bash", [join(dir, "completion.bash")])).stdout).toBe("redrive\n");
  gate.running.signalGroup("SIGTERM");
  await gate.running.finished;
});
