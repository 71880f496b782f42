import { execFile, spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { once } from "node:events";
import { readFile, writeFile } from "node:fs/promises";
import { dirname, join, resolve } from "node:path";
import { createInterface } from "node:readline";
import { promisify } from "node:util";
import { expect, onTestFinished, test } from "vitest";
import { tempDir } from "../helpers/temp-dir.ts";
import { until } from "../helpers/until.ts";

const run = promisify(execFile);
const TIMEOUT_MS = 300_000;
const ROOT = resolve(import.meta.dirname, "../..");
/** npm and the package's scripts must find the Node that runs this test. */
const env = { ...process.env, PATH: `${dirname(process.execPath)}:${process.env["PATH"]}` };

const SINK = `
import { definePlugin, payloadJson } from "pulsegate/plugin";
const plugin = definePlugin({ kind: "sink", name: "x", version: "1.0.0", summary: "x", create: () => ({ name: "x", version: "1.0.0", send: async () => ({ type: "ok" }) }) });
console.log(plugin.name, typeof payloadJson);
`;

test("the packed package, installed into an empty folder, takes an event and delivers it", {
  timeout: TIMEOUT_MS,
}, async () => {
  const dir = await tempDir();
  const { stdout: packed } = await run("npm", ["pack", "--json", "--pack-destination", dir], {
    cwd: ROOT,
    env,
    maxBuffer: 2 ** 26,
  });
  const { filename, files } = firstOf(packed);
  expect(files.filter(({ path }) => /^(?!templates\/)(tests\/|.*\.test\.|bench\/)/.test(path))).toEqual([]);

  await writeFile(join(dir, "package.json"), '{ "name": "user", "type": "module", "private": true }');
  await run("npm", ["install", "--prefer-offline", "--no-audit", "--no-fund", join(dir, filename)], { cwd: dir, env });
  const bin = join(dir, "node_modules/.bin/pulsegate");

  const { version } = JSON.parse(await readFile(join(ROOT, "package.json"), "utf8"));
  expect((await run(bin, ["--version"], { cwd: dir, env })).stdout.trim()).toBe(version);
  await writeFile(join(dir, "plugin.mjs"), SINK);
  expect((await run(process.execPath, ["plugin.mjs"], { cwd: dir })).stdout).toBe("x function\n");
  for (const kind of ["transform", "sink"]) await makePlugin(dir, bin, kind);
  await shipPlugin(dir, bin, "made_transform");
  await deliver(dir, bin);
});

/** Made by the installed package, a plugin passes its tests at once: by `plugins check` and by Node's own runner. */
async function makePlugin(dir: string, bin: string, kind: string): Promise<void> {
  const name = `made_${kind}`;
  await run(bin, ["plugins", "new", kind, name], { cwd: dir, env });
  const { stdout } = await run(bin, ["plugins", "check", `./${name}`], { cwd: dir, env });
  expect(stdout).toContain("ok      passes its own tests: index.test.ts");
  await run(process.execPath, ["--test", `${name}/index.test.ts`], { cwd: dir, env });
}

/** Packed as it was made and installed, it passes its tests as well. */
async function shipPlugin(dir: string, bin: string, name: string): Promise<void> {
  const { stdout: packed } = await run("npm", ["pack", "--json", "--pack-destination", dir], {
    cwd: join(dir, name),
    env,
  });
  const file = join(dir, firstOf(packed).filename);
  await run("npm", ["install", "--prefer-offline", "--no-audit", "--no-fund", file], { cwd: dir, env });
  const shipped = `pulsegate-plugin-${name.replace("_", "-")}`;
  const { stdout } = await run(bin, ["plugins", "check", shipped], { cwd: dir, env });
  expect(stdout).toContain("ok      passes its own tests: index.test.ts");
}

/** `npm pack --json` prints a list, in newer versions an object by package name. */
function firstOf(json: string): { filename: string; files: Array<{ path: string }> } {
  const packed: unknown = JSON.parse(json.slice(json.search(/^[[{]/m)));
  return Object.values(packed as Record<string, { filename: string; files: Array<{ path: string }> }>)[0] as never;
}

async function deliver(dir: string, bin: string): Promise<void> {
  const out = join(dir, "events.ndjson");
  await writeFile(
    join(dir, "pulsegate.yaml"),
    `http: { port: 0 }
ops: { port: 0 }
tenants:
  - id: shop
    keys: [{ id: web, sha256: ${createHash("sha256").update("secret").digest("hex")} }]
    plugins:
      sinks: [{ name: file_sink, config: { path: ${JSON.stringify(out)} } }]
`,
  );
  const child = spawn(bin, ["start", "--config", "pulsegate.yaml"], {
    cwd: dir,
    env,
    detached: true,
    stdio: ["ignore", "pipe", "inherit"],
  });
  onTestFinished(() => {
    if (child.exitCode === null && child.signalCode === null) process.kill(-(child.pid as number), "SIGKILL");
  });
  const url = await readyUrl(child.stdout);
  const answer = await fetch(`${url}/v1/events`, {
    method: "POST",
    headers: { "X-API-Key": "secret", "Content-Type": "application/json" },
    body: '{"event_type":"order_paid","payload":{"amount":12345678901234567890.10}}',
  });
  expect(answer.status).toBe(202);
  const line = await until(async () => {
    const text = await readFile(out, "utf8").catch(() => "");
    return text.endsWith("\n") ? text : undefined;
  }, "a line in the file");
  expect(line).toContain('"payload":{"amount":12345678901234567890.10}');
  child.kill("SIGTERM");
  const [code] = await once(child, "exit");
  expect(code).toBe(0);
}

async function readyUrl(stdout: NodeJS.ReadableStream): Promise<string> {
  for await (const line of createInterface({ input: stdout })) {
    const { msg, data } = JSON.parse(line) as { msg: string; data: string };
    if (msg === "ready") {
      stdout.resume();
      return data;
    }
  }
  throw new Error("pulsegate start ended before it was ready");
}
