import { createHash } from "node:crypto";
import { access, readdir, readFile, readlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { pulsegate, type Running, spawnPulsegate } from "../helpers/cli.ts";
import { rawSocket } from "../helpers/raw-socket.ts";
import { tempDir } from "../helpers/temp-dir.ts";
import { until } from "../helpers/until.ts";

const ANY_PORTS = ["--port", "0", "--ops-port", "0"];

async function startDev(data: string): Promise<{ dev: Running; url: string }> {
  const dev = spawnPulsegate(["dev", "--data", data, ...ANY_PORTS]);
  const ready = await dev.output(/events +(http:\/\/localhost:\d+)\/v1\/events/);
  await dev.output(/Ctrl-C stops/);
  return { dev, url: ready[1] as string };
}

async function postmasterPid(data: string): Promise<number> {
  return Number.parseInt(await readFile(join(data, "postgres/data/postmaster.pid"), "utf8"), 10);
}

async function postgresPort(data: string): Promise<number> {
  return Number((await readFile(join(data, "postgres/data/postmaster.pid"), "utf8")).split("\n")[3]);
}

/** Whether bytes have come to the port that whoever serves it did not read. */
async function isUnread(port: number): Promise<boolean> {
  const sockets = (await readFile("/proc/net/tcp", "utf8")).split("\n").map((line) => line.trim().split(/\s+/));
  const address = `:${port.toString(16).toUpperCase().padStart(4, "0")}`;
  return sockets.some(([, local, , , queues]) => local?.endsWith(address) && !queues?.endsWith(":00000000"));
}

/** The processes that work inside the folder, frozen ones too. */
async function processesIn(folder: string): Promise<number[]> {
  const pids = (await readdir("/proc")).filter((name) => /^\d+$/.test(name)).map(Number);
  const places = await Promise.all(pids.map((pid) => readlink(`/proc/${pid}/cwd`).catch(() => "")));
  return pids.filter((_, at) => places[at]?.startsWith(folder));
}

/** Ends by id what a failed test may leave behind. */
function leaveNothingIn(folder: string): void {
  onTestFinished(async () => {
    for (const pid of await processesIn(folder)) process.kill(pid, "SIGKILL");
  });
}

test("Ctrl-C ends with 0 while PostgreSQL is frozen, tells what was cut off, and leaves none of its processes", async () => {
  const data = await tempDir();
  leaveNothingIn(data);
  const { dev, url } = await startDev(data);
  const postmaster = await postmasterPid(data);
  const event = () => fetch(`${url}/v1/events`, { method: "POST", headers: HEADERS, body: BODY });
  // Once it is delivered, the sink's session is there to be frozen.
  const { event_id: id } = (await (await event()).json()) as { event_id: string };
  const fate = async () => (await fetch(`${url}/v1/events/${id}`, { headers: HEADERS })).text();
  await until(async () => ((await fate()).includes('"status":"delivered"') ? true : undefined), "the first row");
  // The sink's sessions are frozen as well: they hold a delivery that never ends.
  for (const pid of await processesIn(data)) if (pid !== dev.child.pid) process.kill(pid, "SIGSTOP");
  expect((await event()).status).toBe(202);
  const port = await postgresPort(data);
  await until(async () => ((await isUnread(port)) ? true : undefined), "a delivery that hangs");
  dev.signalGroup("SIGINT");
  const { code, stderr } = await dev.finished;
  expect(code).toBe(0);
  expect(stderr).toMatch(/"sink":"postgres_sink","undelivered":1,"msg":"a delivery under way was cut off/);
  expect(await processesIn(data)).toEqual([]);
  expect(() => process.kill(postmaster, 0)).toThrow();
});

const HEADERS = { "x-api-key": "demo", "content-type": "application/json" };
const BODY = '{"event_type":"a"}';

test("requests under way may take half of the grace, those to the operations port a moment, then they are cut and named", async () => {
  const dir = await tempDir();
  const config = join(dir, "pulsegate.yaml");
  const sha256 = createHash("sha256").update("key").digest("hex");
  await writeFile(
    config,
    `log: { path: ./data }
http: { port: 0 }
ops: { port: 0 }
shutdown_grace: 2s
tenants: [{ id: shop, keys: [{ id: web, sha256: ${sha256} }], plugins: { sinks: [{ name: file_sink, config: { path: ${join(dir, "out")} } }] } }]
`,
  );
  const running = spawnPulsegate(["start", "--config", config]);
  const [line] = await running.output(/^.*"msg":"ready".*$/m);
  const { data, ops } = JSON.parse(line) as { data: string; ops: string };
  const stuck = await rawSocket(Number(new URL(data).port));
  stuck.send(
    "POST /v1/events HTTP/1.1\r\nHost: a\r\nX-API-Key: key\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{",
  );
  const stuckOps = await rawSocket(Number(new URL(ops).port));
  stuckOps.send("GET /metrics HTTP/1.1\r\nHost: a\r\n");
  // Both have arrived when a later request was answered.
  expect((await fetch(`${ops}/livez`)).status).toBe(200);
  expect((await fetch(`${data}/openapi.json`)).status).toBe(200);
  running.child.kill("SIGTERM");
  const { code, stdout } = await running.finished;
  expect(code).toBe(0);
  expect(stdout).toMatch(/"deadlineMs":1000,"msg":"requests were not done in time and are cut"/);
  expect(stdout).toMatch(/"deadlineMs":60,"msg":"operations requests were not done in time and are cut"/);
});

test.each(["SIGINT", "SIGTERM"] as const)(
  "%s during the first start stops what had started, says so and ends with 130",
  async (signal) => {
    const data = await tempDir();
    leaveNothingIn(data);
    const dev = spawnPulsegate(["dev", "--data", data, ...ANY_PORTS]);
    await until(
      () =>
        access(join(data, "postgres/data.new")).then(
          () => true,
          () => undefined,
        ),
      "the making of a cluster",
    );
    dev.child.kill(signal);
    const { code, stdout, stderr } = await dev.finished;
    expect(stderr).toMatch(/stopping before everything has started/);
    expect([code, stdout]).toEqual([130, ""]);
    expect(await processesIn(data)).toEqual([]);
  },
);

test("SIGHUP does not end a dev instance that has no configuration file", async () => {
  const data = await tempDir();
  const { dev, url } = await startDev(data);
  dev.child.kill("SIGHUP");
  await dev.output(/there is no configuration file to read again/);
  const answer = await fetch(`${url}/v1/events`, { method: "POST", headers: HEADERS, body: BODY });
  expect(answer.status).toBe(202);
  dev.signalGroup("SIGINT");
  expect((await dev.finished).code).toBe(0);
});

test.each([["nonsense"], ["mysql://u:secret@h/d"], ["postgres://"]])(
  "a database address like %s is refused at once with one clear line",
  async (address) => {
    const data = join(await tempDir(), "data");
    const { code, stderr } = await pulsegate(["dev", "--data", data, ...ANY_PORTS, "--database-url", address]);
    expect(code).toBe(2);
    expect(stderr).toMatch(/^PulseGate did not start: --database-url is .*\.\nNext: give it as postgres:\/\/.*\.\n$/);
    expect(stderr).not.toContain("secret");
    await expect(access(data)).rejects.toThrow();
  },
);
