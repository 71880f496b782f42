import { mkdir, readFile, rename, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";

/** How the commands find an instance on this machine: `<data>/runtime.json`, for the owner's eyes only. */
export interface RuntimeFile {
  readonly pid: number;
  /** Base URL of the data port, e.g. `http://127.0.0.1:8080`. */
  readonly dataUrl: string;
  readonly opsUrl: string;
  readonly adminToken: string;
  /** Where the dev database is. */
  readonly databaseUrl?: string | undefined;
  /** The demo tenant's API key. */
  readonly key?: string | undefined;
}

const NAME = "runtime.json";

/** Writes the file as a whole, readable by its owner alone. */
export async function writeRuntimeFile(dataDir: string, runtime: RuntimeFile): Promise<void> {
  await mkdir(dataDir, { recursive: true });
  const path = join(dataDir, NAME);
  const draft = `${path}.${runtime.pid}`;
  await writeFile(draft, `${JSON.stringify(runtime, null, 2)}\n`, { mode: 0o600 });
  await rename(draft, path);
}

/** The instance that runs on this data folder; undefined when none does (a file left by a crash does not count). */
export async function readRuntimeFile(dataDir: string): Promise<RuntimeFile | undefined> {
  let text: string;
  try {
    text = await readFile(join(dataDir, NAME), "utf8");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw error;
  }
  const runtime = JSON.parse(text) as RuntimeFile;
  return isAlive(runtime.pid) ? runtime : undefined;
}

/** Removes the file if it is this process's own. */
export async function removeRuntimeFile(dataDir: string, pid: number): Promise<void> {
  const current = await readRuntimeFile(dataDir);
  if (current?.pid === pid) await rm(join(dataDir, NAME), { force: true });
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    // It lives, under another user.
    return (error as NodeJS.ErrnoException).code === "EPERM";
  }
}
