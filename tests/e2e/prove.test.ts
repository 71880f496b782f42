import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, test } from "vitest";
import { pulsegate, spawnPulsegate } from "../helpers/cli.ts";
import { tempDir } from "../helpers/temp-dir.ts";
import { until } from "../helpers/until.ts";

const TOKEN = "admin-token-for-this-test";
/** So short and with limits so wide that only a tenant that stands still fails: how quick a machine is, is no matter of this test. */
const SHORT = [
  "--rate",
  "20",
  "--window",
  "1s",
  "--rounds",
  "1",
  "--door-max",
  "1000",
  "--delivery-max",
  "1000",
  "--jain-min",
  "0.5",
];

async function start(...flags: readonly string[]) {
  const dir = await tempDir();
  const config = join(dir, "pulsegate.yaml");
  await writeFile(
    config,
    `version: 1
log: { path: ./data }
http: { port: 0 }
ops: { port: 0, admin_token: ${TOKEN} }
workers: { threads: 1 }
tenants: [{ id: shop }]
`,
  );
  const running = spawnPulsegate(["start", "--config", config, ...flags]);
  const [line] = await running.output(/^.*"msg":"ready".*$/m);
  const { data, ops } = JSON.parse(line) as { data: string; ops: string };
  const env = { PULSEGATE_ADMIN_URL: ops, PULSEGATE_ADMIN_TOKEN: TOKEN, PULSEGATE_URL: data };
  return { config, env, running };
}

type Env = Readonly<Record<string, string>>;

async function tenantIds(env: Env): Promise<string[]> {
  const { stdout } = await pulsegate(["tenants", "list", "--json"], { env });
  return (JSON.parse(stdout) as { items: Array<{ id: string }> }).items.map(({ id }) => id);
}

async function laneIds(env: Env): Promise<string[]> {
  const { stdout } = await pulsegate(["lanes", "list", "--json"], { env });
  return (JSON.parse(stdout) as { items: Array<{ id: string }> }).items.map(({ id }) => id);
}

test("a tenant is not harmed by any other, and the proof leaves neither tenant nor lane", async () => {
  const { env } = await start();
  const { code, stdout } = await pulsegate(["prove", "fairness", ...SHORT], { env });
  for (const line of stdout.split("\n")) expect(line.length).toBeLessThanOrEqual(80);
  for (const kind of ["flood", "large bodies", "slow sink", "dead sink", "poison events", "connections"])
    expect(stdout).toMatch(new RegExp(`^${kind} .* 0 +ok$`, "m"));
  expect(stdout).toMatch(/^Fair\.$/m);
  expect(code).toBe(0);
  expect([await tenantIds(env), await laneIds(env)]).toEqual([["shop"], []]);
});

test("without what keeps tenants apart the proof fails", async () => {
  const { env } = await start();
  const { code, stdout } = await pulsegate(["prove", "fairness", ...SHORT, "--one-tenant", "--json"], { env });
  const { passed, rows } = JSON.parse(stdout) as { passed: boolean; rows: Array<Record<string, unknown>> };
  expect([code, passed]).toEqual([1, false]);
  const slow = rows.find(({ aggressor }) => aggressor === "slow sink");
  expect(slow).toMatchObject({ passed: false });
  expect(slow?.["undelivered"]).toBeGreaterThan(0);
});

test("a gateway whose lanes wait for one another's sinks does not pass the proof", async () => {
  const { env } = await start("--lanes-in-line");
  const { code, stdout } = await pulsegate(["prove", "fairness", ...SHORT, "--json"], { env });
  const { passed, rows } = JSON.parse(stdout) as { passed: boolean; rows: Array<Record<string, unknown>> };
  expect([code, passed]).toEqual([1, false]);
  const verdictOn = (kind: string) => rows.find(({ aggressor }) => aggressor === kind);
  // What one sink makes its own events wait is what the other tenant waits.
  expect(verdictOn("slow sink")?.["undelivered"]).toBeGreaterThan(0);
  expect(verdictOn("slow sink")).toMatchObject({ passed: false });
});

test("what a proof and a process that were killed left behind is gone after the next start", async () => {
  const first = await start();
  const proof = spawnPulsegate(["prove", "fairness", ...SHORT], { env: first.env });
  await proof.output(/flood, round 1/);
  expect(await laneIds(first.env)).toContainEqual(expect.stringMatching(/^trial-.*-victim\/0\/sink$/));
  proof.signalGroup("SIGKILL");
  first.running.signalGroup("SIGKILL");
  await first.running.finished;
  const again = spawnPulsegate(["start", "--config", first.config]);
  const [line] = await again.output(/^.*"msg":"ready".*$/m);
  const env = { ...first.env, PULSEGATE_ADMIN_URL: (JSON.parse(line) as { ops: string }).ops };
  expect([await tenantIds(env), await laneIds(env)]).toEqual([["shop"], []]);
});

test("Ctrl-C ends the proof and removes its tenants", async () => {
  const { env } = await start();
  const proof = spawnPulsegate(["prove", "fairness", ...SHORT], { env });
  await proof.output(/flood, round 1/);
  proof.child.kill("SIGINT");
  expect((await proof.finished).code).toBe(130);
  await until(async () => ((await tenantIds(env)).length === 1 ? true : undefined), "the trial's tenants are gone");
});
