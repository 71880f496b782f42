import { once } from "node:events";
import { type AddressInfo, createServer } from "node:net";
import { chmod, mkdir, writeFile } from "node:fs/promises";
import { execFile } from "node:child_process";
import { join } from "node:path";
import { promisify } from "node:util";
import { expect, onTestFinished, test } from "vitest";
import { pulsegate, type Running, spawnPulsegate } from "../helpers/cli.ts";
import { tempDir } from "../helpers/temp-dir.ts";
import { until } from "../helpers/until.ts";

/** The founding text's request, to the letter but for the port. */
const CURL = `curl -s -w '\\n%{http_code}' -X POST http://localhost:8080/v1/events -H "X-API-Key: demo" -H "Content-Type: application/json" \\
  -d '{"event_type": "user_sign_up", "user_id": "u_123", "ip": "8.8.8.8", "timestamp": "2025-03-01T12:00:00Z"}'`;

/** Runs root like any other user where a file's mode is concerned. */
const BOUND_BY_MODES = process.getuid?.() === 0 ? ["setpriv", "--bounding-set=-dac_override,-dac_read_search"] : [];

async function startDev(data: string, args: readonly string[] = []): Promise<{ dev: Running; url: string }> {
  const dev = spawnPulsegate(["dev", "--data", data, "--port", "0", "--ops-port", "0", ...args]);
  const ready = await dev.output(/events +(http:\/\/localhost:\d+)\/v1\/events/);
  await dev.output(/Ctrl-C stops/);
  return { dev, url: ready[1] as string };
}

async function founding(url: string): Promise<{ status: string; ack: { event_id: string; position: string } }> {
  const { stdout } = await promisify(execFile)("bash", ["-c", CURL.replace("http://localhost:8080", url)]);
  const [body, status] = stdout.split("\n") as [string, string];
  return { status, ack: JSON.parse(body) };
}

async function rows(data: string): Promise<Array<Record<string, unknown>>> {
  const { code, stdout, stderr } = await pulsegate([
    "sql",
    "--data",
    data,
    "--json",
    "SELECT * FROM events_raw ORDER BY received_at",
  ]);
  expect(stderr).toBe("");
  expect(code).toBe(0);
  return JSON.parse(stdout);
}

async function rowsOnce(data: string, count: number): Promise<Array<Record<string, unknown>>> {
  return until(async () => {
    const found = await rows(data);
    return found.length >= count ? found : undefined;
  }, `${count} rows`);
}

test("the founding request becomes a row, Ctrl-C ends with 0, and a second start goes on", async () => {
  const data = await tempDir();
  const first = await startDev(data);
  const sent = await founding(first.url);
  expect(sent.status).toBe("202");
  expect(sent.ack.position).toBe("demo/0/0");
  const [row] = await rowsOnce(data, 1);
  expect(row).toMatchObject({
    tenant_id: "demo",
    event_id: sent.ack.event_id,
    event_type: "user_sign_up",
    source: "http",
    payload: { user_id: "u_123", ip: "8.8.8.8" },
  });
  expect(new Date(row?.["occurred_at"] as string).toISOString()).toBe("2025-03-01T12:00:00.000Z");

  first.dev.signalGroup("SIGINT");
  expect((await first.dev.finished).code).toBe(0);

  const second = await startDev(data);
  const again = await founding(second.url);
  expect(again.ack.position).toBe("demo/0/1");
  expect(await rowsOnce(data, 2)).toHaveLength(2);
  second.dev.signalGroup("SIGTERM");
  expect((await second.dev.finished).code).toBe(0);
});

test("after kill -9 of the whole group the next start goes on where it stopped", async () => {
  const data = await tempDir();
  const first = await startDev(data);
  await founding(first.url);
  first.dev.signalGroup("SIGKILL");
  await first.dev.finished;
  const second = await startDev(data);
  expect((await founding(second.url)).ack.position).toBe("demo/0/1");
  expect(await rowsOnce(data, 2)).toHaveLength(2);
});

test("a taken port is one clear line with the next step", async () => {
  const data = await tempDir();
  const other = createServer().listen(0, "127.0.0.1");
  onTestFinished(() => void other.close());
  await once(other, "listening");
  const { port } = other.address() as AddressInfo;
  const { code, stderr } = await pulsegate(["dev", "--data", data, "--port", String(port), "--ops-port", "0"]);
  expect(code).toBe(1);
  expect(stderr).toContain(`port ${port} on 127.0.0.1 is taken by another program`);
  expect(stderr).toMatch(/Next: .*--port/);
});

test("a data folder in use is one clear line with the next step", async () => {
  const data = await tempDir();
  const { dev } = await startDev(data);
  const { code, stderr } = await pulsegate(["dev", "--data", data, "--port", "0", "--ops-port", "0"]);
  expect(code).toBe(1);
  expect(stderr).toMatch(new RegExp(`in use .*${dev.child.pid}`));
  expect(stderr).toMatch(
    /did not start: the data folder \S+ is in use by another process \(pid \d+\)\.\nNext: stop that process.*\.\n$/,
  );
});

test("a folder that can't be made is one clear line with the next step", async () => {
  const file = join(await tempDir(), "file");
  await writeFile(file, "");
  const { code, stderr } = await pulsegate(["dev", "--data", join(file, "data"), "--port", "0", "--ops-port", "0"]);
  expect(code).toBe(1);
  expect(stderr).toMatch(/did not start: .*file.*Next: choose another folder/s);
});

test("a folder in a file system that takes none is one clear line with the next step", async () => {
  const { code, stderr } = await pulsegate(["dev", "--data", "/proc/x/data", "--port", "0", "--ops-port", "0"]);
  expect(code).toBe(1);
  expect(stderr).toBe("PulseGate did not start: /proc/x can't be made.\nNext: choose another folder.\n");
});

test("a folder that may not be written is one clear line with the next step", async () => {
  const data = await tempDir();
  await mkdir(join(data, "log"));
  for (const folder of [data, join(data, "log")]) await chmod(folder, 0o500);
  onTestFinished(() => chmod(data, 0o700));
  const { code, stderr } = await pulsegate(["dev", "--data", data, "--port", "0", "--ops-port", "0"], {
    wrapper: BOUND_BY_MODES,
  });
  expect(code).toBe(1);
  expect(stderr).toMatch(
    /^PulseGate did not start: \S+ can't be written\.\nNext: give this user write access, .*\.\n$/,
  );
});
