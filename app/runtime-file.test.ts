import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { readRuntimeFile, removeRuntimeFile, writeRuntimeFile } from "./runtime-file.ts";

let folder: string;
const runtime = { pid: process.pid, dataUrl: "http://127.0.0.1:1", opsUrl: "http://127.0.0.1:2", adminToken: "t" };

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "pulsegate-runtime-"));
});

afterEach(async () => {
  await rm(folder, { recursive: true });
});

async function deadPid(): Promise<number> {
  const child = spawn(process.execPath, ["-e", ""]);
  await once(child, "exit");
  return child.pid as number;
}

test("a running instance is found through its data folder", async () => {
  await writeRuntimeFile(join(folder, "new", "deep"), runtime);
  expect(await readRuntimeFile(join(folder, "new", "deep"))).toEqual(runtime);
});

test("only the owner may read it, even where a loose file lay before", async () => {
  await writeFile(join(folder, "runtime.json"), "{}", { mode: 0o644 });
  await writeRuntimeFile(folder, runtime);
  expect((await stat(join(folder, "runtime.json"))).mode & 0o777).toBe(0o600);
});

test("a folder without one, or with one of a dead process, has no instance", async () => {
  expect(await readRuntimeFile(folder)).toBeUndefined();
  await writeRuntimeFile(folder, { ...runtime, pid: await deadPid() });
  expect(await readRuntimeFile(folder)).toBeUndefined();
});

test("removes its own file only", async () => {
  await writeRuntimeFile(folder, runtime);
  await removeRuntimeFile(folder, process.pid + 1);
  expect(await readRuntimeFile(folder)).toEqual(runtime);
  await removeRuntimeFile(folder, process.pid);
  expect(await readRuntimeFile(folder)).toBeUndefined();
});
