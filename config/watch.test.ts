import { mkdtemp, rename, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { systemClock } from "../observability/system-clock.ts";
import { loadConfig } from "./parse.ts";
import type { LoadedConfig } from "./parse.ts";
import { watchConfig } from "./watch.ts";
import type { ConfigWatch, WatchOptions } from "./watch.ts";

let folder: string;
let file: string;
let watch: ConfigWatch | undefined;
const ports: number[] = [];
const refused: string[] = [];

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "pulsegate-watch-"));
  file = join(folder, "pulsegate.yaml");
  ports.length = 0;
  refused.length = 0;
  await writeFile(file, text(1));
});

afterEach(async () => {
  await watch?.close();
  await rm(folder, { recursive: true });
});

const text = (port: number): string => `http: { port: ${port} }\n`;

async function start(options: Partial<WatchOptions> = {}): Promise<void> {
  watch = await watchConfig({
    file,
    load: () => loadConfig({ file, plugins: [], env: {}, mode: "dev" }),
    onConfig: async (config) => {
      ports.push(config.settings.http.port);
    },
    onRefused: (problems) => {
      refused.push(...problems.map((problem) => problem.message));
    },
    clock: systemClock,
    intervalMs: 20,
    ...options,
  });
}

async function until(check: () => void): Promise<void> {
  await vi.waitFor(check, { timeout: 10_000, interval: 10 });
}

test("takes a change that is written in place", async () => {
  await start();
  await writeFile(file, text(22));
  await until(() => expect(ports.at(-1)).toBe(22));
});

test("takes a file that is replaced by renaming, again and again", async () => {
  await start();
  for (const port of [333, 4_444, 55_555]) {
    await writeFile(join(folder, "next"), text(port));
    await rename(join(folder, "next"), file);
    await until(() => expect(ports.at(-1)).toBe(port));
  }
});

test("takes the swap of a symbolic link above the file, as Kubernetes mounts do it", async () => {
  const mount = await mkdtemp(join(folder, "mount-"));
  const versions = [await mkdtemp(join(mount, "v1-")), await mkdtemp(join(mount, "v2-"))] as const;
  await writeFile(join(versions[0], "pulsegate.yaml"), text(1));
  await writeFile(join(versions[1], "pulsegate.yaml"), text(2));
  await symlink(versions[0], join(mount, "..data"));
  await symlink(join("..data", "pulsegate.yaml"), join(mount, "pulsegate.yaml"));
  file = join(mount, "pulsegate.yaml");
  await start();
  await symlink(versions[1], join(mount, "..next"));
  await rename(join(mount, "..next"), join(mount, "..data"));
  await until(() => expect(ports.at(-1)).toBe(2));
});

test("refuses a bad change whole and goes on watching", async () => {
  await start({ runningText: text(1) });
  await writeFile(file, "http: { prot: 2 }\n");
  await until(() => expect(refused.at(-1)).toBe('http: unknown key "prot"'));
  await writeFile(file, text(333));
  await until(() => expect(ports.at(-1)).toBe(333));
});

test("a configuration that can't be applied counts as refused", async () => {
  await start({ onConfig: () => Promise.reject(new Error("no room")) });
  await watch?.reload();
  expect(refused).toEqual(["the new configuration could not be applied: no room"]);
});

test("reads the file on SIGHUP, and leaves the signal alone once closed", async () => {
  await start();
  process.emit("SIGHUP");
  await until(() => expect(ports).toEqual([1]));
  await watch?.close();
  expect(process.listenerCount("SIGHUP")).toBe(0);
});

test("takes a change that came between reading the file and watching it", async () => {
  await start({ runningText: text(99) });
  expect(ports).toEqual([1]);
  await watch?.close();
  await start({ runningText: text(1) });
  expect(ports).toEqual([1]);
});

test("reloads never overlap, and the last state of the file always counts", async () => {
  const seen: string[] = [];
  const gates: Array<() => void> = [];
  const onConfig = async (config: LoadedConfig): Promise<void> => {
    seen.push(`begin ${config.settings.http.port}`);
    await new Promise<void>((resolve) => gates.push(resolve));
    seen.push(`end ${config.settings.http.port}`);
  };
  await start({ onConfig, intervalMs: 1_000_000 });
  const first = watch?.reload();
  await until(() => expect(gates).toHaveLength(1));
  await writeFile(file, text(2));
  const second = watch?.reload();
  const third = watch?.reload();
  gates[0]?.();
  await until(() => expect(gates).toHaveLength(2));
  gates[1]?.();
  await Promise.all([first, second, third]);
  expect(seen).toEqual(["begin 1", "end 1", "begin 2", "end 2"]);
});
