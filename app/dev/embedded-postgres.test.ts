import { spawn } from "node:child_process";
import { once } from "node:events";
import { chmod, mkdir, readFile, stat, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { join } from "node:path";
import { createInterface } from "node:readline";
import pg from "pg";
import { expect, onTestFinished, test } from "vitest";
import { tempDir } from "../../tests/helpers/temp-dir.ts";
import { until } from "../../tests/helpers/until.ts";
import { type EmbeddedPostgres, startEmbeddedPostgres } from "./embedded-postgres.ts";

const logger = { debug() {}, info() {}, warn() {}, error() {} };

/** A folder that the server's user can reach, removed when the test ends. */
async function dataFolder(): Promise<string> {
  const folder = await tempDir();
  await chmod(folder, 0o711);
  return join(folder, "postgres");
}

async function started(dataDir: string, port?: number): Promise<EmbeddedPostgres> {
  const server = await startEmbeddedPostgres({ dataDir, logger, ...(port === undefined ? {} : { port }) });
  onTestFinished(() => server.stop());
  return server;
}

async function query(url: string, sql: string): Promise<Record<string, unknown>[]> {
  const client = new pg.Client({ connectionString: url });
  client.on("error", () => {});
  await client.connect();
  try {
    return (await client.query<Record<string, unknown>>(sql)).rows;
  } finally {
    await client.end();
  }
}

async function postmasterPid(dataDir: string): Promise<number> {
  return Number.parseInt(await readFile(join(dataDir, "data/postmaster.pid"), "utf8"), 10);
}

/** Ended, or a zombie that nobody buries. */
async function isGone(pid: number): Promise<boolean> {
  const text = await readFile(`/proc/${pid}/stat`, "latin1").catch(() => ") X ");
  return /\) [ZX] /.test(text);
}

/** PulseGate as far as this matters: a process that starts the server and can be killed. */
async function startInProcess(dataDir: string): Promise<{ pid: number; url: string; kill(): Promise<void> }> {
  const module = new URL("./embedded-postgres.ts", import.meta.url).href;
  const code = `import { startEmbeddedPostgres } from ${JSON.stringify(module)};
    const logger = { debug() {}, info() {}, warn() {}, error() {} };
    console.log((await startEmbeddedPostgres({ dataDir: ${JSON.stringify(dataDir)}, logger })).url);
    setInterval(() => {}, 1_000);`;
  const child = spawn(process.execPath, ["--input-type=module-typescript", "-e", code], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  const kill = async () => {
    if (child.exitCode !== null || child.signalCode !== null) return;
    child.kill("SIGKILL");
    await once(child, "exit");
  };
  onTestFinished(kill);
  const [url] = (await once(createInterface({ input: child.stdout }), "line")) as [string];
  return { pid: child.pid as number, url, kill };
}

test("makes the cluster once, and keeps data, password and port over a restart", async () => {
  const dataDir = await dataFolder();
  const first = await started(dataDir);
  await query(first.url, "CREATE TABLE kept AS SELECT 42 AS n");
  await first.stop();
  await first.stop();
  const second = await started(dataDir);
  expect(second.url).toBe(first.url);
  expect(await query(second.url, "SELECT n, current_database() AS db FROM kept")).toEqual([{ n: 42, db: "pulsegate" }]);
});

test("listens on loopback alone, asks for the password, and keeps it readable by its owner", async () => {
  const dataDir = await dataFolder();
  const { url } = await started(dataDir);
  const [row] = await query(
    url,
    "SELECT current_setting('listen_addresses') AS a, current_setting('unix_socket_directories') AS u",
  );
  expect(row).toEqual({ a: "127.0.0.1", u: "" });
  const wrong = new URL(url);
  wrong.password = "wrong";
  await expect(query(wrong.href, "SELECT 1")).rejects.toMatchObject({ code: "28P01" });
  expect((await stat(join(dataDir, "data/pulsegate.json"))).mode & 0o777).toBe(0o600);
});

test("moves to another port when the one of the last time is taken", async () => {
  const dataDir = await dataFolder();
  const first = await started(dataDir);
  await first.stop();
  const squatter = createServer().listen(first.port, "127.0.0.1");
  await once(squatter, "listening");
  onTestFinished(() => void squatter.close());
  const second = await started(dataDir);
  expect(second.port).not.toBe(first.port);
  expect(await query(second.url, "SELECT 1 AS n")).toEqual([{ n: 1 }]);
});

test("refuses a port that was asked for and is taken, and says so", async () => {
  const squatter = createServer().listen(0, "127.0.0.1");
  await once(squatter, "listening");
  onTestFinished(() => void squatter.close());
  const { port } = squatter.address() as { port: number };
  await expect(started(await dataFolder(), port)).rejects.toThrow(`port ${port} is in use`);
});

test("stops with its parent, even when that is killed", async () => {
  const dataDir = await dataFolder();
  const parent = await startInProcess(dataDir);
  const pid = await postmasterPid(dataDir);
  await parent.kill();
  await until(async () => (await isGone(pid)) || undefined, "the end of the orphaned server");
});

test("does not hear the Ctrl-C of its parent's process group", async () => {
  const dataDir = await dataFolder();
  const server = await started(dataDir);
  const pid = await postmasterPid(dataDir);
  const fields = (await readFile(`/proc/${pid}/stat`, "latin1")).split(") ")[1]?.split(" ") ?? [];
  expect(Number(fields[2])).toBe(pid);
  expect(Number(fields[3])).toBe(pid);
  await server.stop();
});

test("stops what a killed process left running, frozen or not, and starts anew with the data", async () => {
  const dataDir = await dataFolder();
  const parent = await startInProcess(dataDir);
  await query(parent.url, "CREATE TABLE kept AS SELECT 42 AS n");
  const leftover = await postmasterPid(dataDir);
  process.kill(leftover, "SIGSTOP");
  // The guard is killed too, or it would do the work.
  const children = (await readFile(`/proc/${parent.pid}/task/${parent.pid}/children`, "utf8")).trim().split(" ");
  for (const child of children.map(Number)) if (child !== leftover) process.kill(child, "SIGKILL");
  await parent.kill();
  const server = await started(dataDir);
  expect(await postmasterPid(dataDir)).not.toBe(leftover);
  expect(await query(server.url, "SELECT n FROM kept")).toEqual([{ n: 42 }]);
});

test("starts after everything was killed, when the pid in its file belongs to another process by now", async () => {
  const dataDir = await dataFolder();
  const first = await started(dataDir);
  await query(first.url, "CREATE TABLE kept AS SELECT 42 AS n");
  const file = join(dataDir, "data/postmaster.pid");
  const stale = await readFile(file, "utf8");
  await first.stop();
  // Of the same user, or PostgreSQL itself would see that it can't be the owner.
  const neighbour = await dataFolder();
  await started(neighbour);
  await writeFile(file, stale.replace(/^\d+/, String(await postmasterPid(neighbour))));
  const server = await started(dataDir);
  expect(await query(server.url, "SELECT n FROM kept")).toEqual([{ n: 42 }]);
  expect(await isGone(await postmasterPid(neighbour))).toBe(false);
});

test("comes back on the same port when the server is killed under it", async () => {
  const dataDir = await dataFolder();
  const server = await started(dataDir);
  await query(server.url, "CREATE TABLE kept AS SELECT 42 AS n");
  const killed = await postmasterPid(dataDir);
  process.kill(killed, "SIGKILL");
  const rows = await until(
    () => query(server.url, "SELECT n FROM kept").catch(() => undefined),
    "the restarted server",
  );
  expect(rows).toEqual([{ n: 42 }]);
});

test("makes a cluster anew that a killed process left half made", async () => {
  const dataDir = await dataFolder();
  await mkdir(join(dataDir, "data.new/base"), { recursive: true });
  await writeFile(join(dataDir, "data.new.password"), "old");
  const server = await started(dataDir);
  expect(await query(server.url, "SELECT 1 AS n")).toEqual([{ n: 1 }]);
});

test("runs in a folder that is closed to all but its owner", async () => {
  const folder = await tempDir();
  await chmod(folder, 0o700);
  const server = await started(join(folder, "closed"));
  expect(await query(server.url, "SELECT 1 AS n")).toEqual([{ n: 1 }]);
});
