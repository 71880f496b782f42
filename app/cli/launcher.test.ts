import { cp, mkdir, mkdtemp, readdir, rm, symlink, writeFile } from "node:fs/promises";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";

const LAUNCHER = resolve(import.meta.dirname, "../../bin/pulsegate.mjs");

/** Makes Node.js say that it is an old one. */
const OLD = [
  "--import",
  'data:text/javascript,Object.defineProperty(process,"versions",{value:{...process.versions,node:"20.1.0"}})',
];

let root: string;

beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), "pulsegate-launcher-"));
  await mkdir(join(root, "bin"));
  await mkdir(join(root, "app", "cli"), { recursive: true });
  await writeFile(join(root, "package.json"), '{"type":"module"}');
  await cp(LAUNCHER, join(root, "bin", "pulsegate.mjs"));
});

afterEach(async () => {
  await rm(root, { recursive: true });
});

/** What the launcher starts in place of the command line. */
async function command(source: string): Promise<void> {
  await writeFile(join(root, "app", "cli", "index.ts"), source);
}

async function pinNode(folder = root): Promise<void> {
  await mkdir(join(folder, "node_modules", "node", "bin"), { recursive: true });
  await symlink(process.execPath, join(folder, "node_modules", "node", "bin", "node"));
}

function launch(nodeArgs: readonly string[], args: readonly string[] = [], bin = join(root, "bin", "pulsegate.mjs")) {
  // Where compiled code is kept is the launcher's to say, as on a machine where nobody else does.
  const { NODE_COMPILE_CACHE: _, ...env } = process.env;
  const child = spawn(process.execPath, [...nodeArgs, bin, ...args], { env });
  let stdout = "";
  let stderr = "";
  child.stdout.on("data", (chunk: Buffer) => (stdout += chunk.toString()));
  child.stderr.on("data", (chunk: Buffer) => (stderr += chunk.toString()));
  const done = once(child, "close").then(([code]) => ({ code: code as number | null, stdout, stderr }));
  return { child, done };
}

const TELL =
  'console.log(JSON.stringify(process.argv.slice(2)), process.versions.node !== "20.1.0"); process.exitCode = 7;';

test("a Node.js that is new enough runs the command itself", async () => {
  await command(TELL);
  expect(await launch([], ["a", "b c"]).done).toEqual({ code: 7, stdout: '["a","b c"] true\n', stderr: "" });
});

test("an old Node.js hands over to the pinned one, arguments and exit code and all", async () => {
  await command(TELL);
  await pinNode();
  expect(await launch(OLD, ["a", "b c"]).done).toEqual({ code: 7, stdout: '["a","b c"] true\n', stderr: "" });
});

test("the pinned one is found where npm puts it beside the package, and the built package is run", async () => {
  const installed = join(root, "node_modules", "pulsegate");
  await cp(join(root, "bin"), join(installed, "bin"), { recursive: true });
  await mkdir(join(installed, "dist", "app", "cli"), { recursive: true });
  await writeFile(join(installed, "package.json"), '{"type":"module"}');
  await writeFile(join(installed, "dist", "app", "cli", "index.js"), TELL);
  await pinNode();
  expect(await launch(OLD, [], join(installed, "bin", "pulsegate.mjs")).done).toMatchObject({ code: 7, stderr: "" });
});

test.each([
  ["a new Node.js", []],
  ["the pinned one, handed over to by an old Node.js", OLD],
])("%s keeps what it compiled beside the code, for a quicker next start", async (_name, nodeArgs) => {
  await command('await import("./other.ts");');
  await writeFile(join(root, "app", "cli", "other.ts"), "export const n: number = 1;");
  await pinNode();
  expect(await launch(nodeArgs).done).toEqual({ code: 0, stdout: "", stderr: "" });
  expect(await readdir(join(root, "node_modules", ".cache", "pulsegate"))).toHaveLength(1);
});

test("without a pinned one it says in one line what is needed and what to do", async () => {
  await command(TELL);
  const { code, stdout, stderr } = await launch(OLD).done;
  expect([code, stdout]).toEqual([1, ""]);
  expect(stderr).toMatch(
    /^error: PulseGate needs Node.js 24 or newer, and this is 20.1.0\n {2}next: run `npm install` in .*\n$/,
  );
});

test("a signal reaches the command, which decides how to end", async () => {
  await command('process.on("SIGTERM", () => process.exit(5)); setInterval(() => {}, 1000); console.log("up");');
  await pinNode();
  const { child, done } = launch(OLD);
  await once(child.stdout, "data");
  child.kill("SIGTERM");
  expect((await done).code).toBe(5);
});

test("a command that dies of a signal is told as a shell tells it", async () => {
  await command('process.kill(process.pid, "SIGKILL");');
  await pinNode();
  expect((await launch(OLD).done).code).toBe(137);
});
