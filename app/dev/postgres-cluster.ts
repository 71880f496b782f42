import { execFile } from "node:child_process";
import { randomBytes } from "node:crypto";
import { chown, mkdir, readFile, readlink, realpath, rename, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { promisify } from "node:util";
import type { RunAs } from "./postgres-binaries.ts";

/** What PulseGate keeps beside the database's own files. */
export interface ClusterSecret {
  readonly password: string;
  /** The port of the last start. */
  readonly port?: number | undefined;
}

const SECRET_FILE = "pulsegate.json";
const LEFTOVER_POLL_MS = 20;
const LEFTOVER_TIMEOUT_MS = 10_000;
/** Above every pid that a kernel gives out: to PostgreSQL it is a process that has died. */
const DEAD_PID = 2_147_483_646;

/** Creates the cluster if there is none; a half-made one of a killed process is made anew. */
export async function ensureCluster(options: {
  dataDir: string;
  initdb: string;
  runAs: RunAs;
  /** Ends the making; what is there by then is made anew the next time. */
  signal?: AbortSignal | undefined;
}): Promise<ClusterSecret> {
  const { dataDir } = options;
  const known = await readSecret(dataDir);
  if (known !== undefined) return known;
  const draft = `${dataDir}.new`;
  const passwordFile = `${draft}.password`;
  await rm(draft, { recursive: true, force: true });
  const secret: ClusterSecret = { password: randomBytes(24).toString("base64url") };
  try {
    await mkdir(draft, { mode: 0o700 });
    await writeFile(passwordFile, `${secret.password}\n`, { mode: 0o600 });
    for (const path of [draft, passwordFile]) await give(path, options.runAs);
    await initdb({ ...options, draft, passwordFile });
  } finally {
    await rm(passwordFile, { force: true });
  }
  await writeSecret(draft, secret);
  // Password and cluster appear in one step: neither can exist without the other.
  await rename(draft, dataDir);
  return secret;
}

async function readSecret(dataDir: string): Promise<ClusterSecret | undefined> {
  try {
    return JSON.parse(await readFile(join(dataDir, SECRET_FILE), "utf8")) as ClusterSecret;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw new Error(`the password file of the embedded PostgreSQL can't be read: ${join(dataDir, SECRET_FILE)}`, {
      cause: error,
    });
  }
}

async function give(path: string, runAs: RunAs): Promise<void> {
  if (runAs.owner !== undefined) await chown(path, runAs.owner.uid, runAs.owner.gid);
}

async function initdb(options: {
  initdb: string;
  runAs: RunAs;
  draft: string;
  passwordFile: string;
  signal?: AbortSignal | undefined;
}): Promise<void> {
  const args = [
    `--pgdata=${options.draft}`,
    "--username=pulsegate",
    `--pwfile=${options.passwordFile}`,
    "--auth=scram-sha-256",
    "--encoding=UTF8",
    // Needs no locale of the machine, and sorts alike everywhere.
    "--locale-provider=builtin",
    "--builtin-locale=C.UTF-8",
    "--locale=C",
  ];
  const [command, commandArgs] = options.runAs.command(options.initdb, args);
  await promisify(execFile)(command, commandArgs, {
    cwd: options.draft,
    env: { PATH: process.env["PATH"], LC_ALL: "C" },
    ...(options.signal === undefined ? {} : { signal: options.signal }),
  });
}

async function writeSecret(dataDir: string, secret: ClusterSecret): Promise<void> {
  const file = join(dataDir, SECRET_FILE);
  await writeFile(`${file}.new`, `${JSON.stringify(secret)}\n`, { mode: 0o600 });
  await rename(`${file}.new`, file);
}

/** So that a URL which somebody noted works after a restart too. */
export async function rememberPort(dataDir: string, secret: ClusterSecret): Promise<void> {
  await writeSecret(dataDir, secret);
}

/** What a running server says about itself; undefined when none claims the folder. */
export async function readPostmasterPid(dataDir: string): Promise<{ pid: number; status: string } | undefined> {
  const text = await readFile(join(dataDir, "postmaster.pid"), "utf8").catch(() => "");
  const lines = text.split("\n");
  const pid = Number.parseInt(lines[0] ?? "", 10);
  return Number.isNaN(pid) ? undefined : { pid, status: lines[7]?.trim() ?? "" };
}

/**
 * Ends a server that a killed process left on this folder. One that was killed itself is
 * PostgreSQL's to recover from, except that its pid may belong to another process by now.
 */
export async function stopLeftover(dataDir: string): Promise<void> {
  const leftover = await readPostmasterPid(dataDir);
  if (leftover === undefined) return;
  if ((await isAlive(leftover.pid)) && (await isPostmasterOf(leftover.pid, dataDir))) await stop(leftover.pid, dataDir);
  await disown(dataDir, leftover.pid);
}

async function isPostmasterOf(pid: number, dataDir: string): Promise<boolean> {
  try {
    // A postmaster works inside its data folder.
    return (await readlink(`/proc/${pid}/cwd`)) === (await realpath(dataDir));
  } catch {
    const { stdout } = await promisify(execFile)("ps", ["-o", "command=", "-p", String(pid)]).catch(() => ({
      stdout: "",
    }));
    return stdout.includes("postgres") && stdout.includes(dataDir);
  }
}

async function stop(pid: number, dataDir: string): Promise<void> {
  for (const signal of ["SIGINT", "SIGQUIT", "SIGKILL"] as const) {
    signalProcess(pid, "SIGCONT");
    signalProcess(pid, signal);
    if (await diesWithin(pid, LEFTOVER_TIMEOUT_MS)) return;
  }
  throw new Error(`a PostgreSQL server (pid ${pid}) holds ${dataDir} and can't be stopped: stop it, then try again`);
}

async function disown(dataDir: string, pid: number): Promise<void> {
  const file = join(dataDir, "postmaster.pid");
  const text = await readFile(file, "utf8").catch(() => undefined);
  // The rest of the file stays: by it PostgreSQL sees whether old sessions still use the memory.
  if (text !== undefined) await writeFile(file, text.replace(String(pid), String(DEAD_PID)));
}

export function signalProcess(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal);
  } catch {
    // It is gone already: that is what was wanted.
  }
}

async function diesWithin(pid: number, timeoutMs: number): Promise<boolean> {
  const deadline = performance.now() + timeoutMs;
  while (await isAlive(pid)) {
    if (performance.now() > deadline) return false;
    await sleep(LEFTOVER_POLL_MS);
  }
  return true;
}

async function isAlive(pid: number): Promise<boolean> {
  try {
    process.kill(pid, 0);
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === "EPERM";
  }
  // In a container whose first process reaps nobody, an orphan that ended stays as a zombie.
  const stat = await readFile(`/proc/${pid}/stat`, "latin1").catch(() => "");
  return !/\) [ZX] /.test(stat);
}
