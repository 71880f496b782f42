import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdir, open, readFile } from "node:fs/promises";
import { connect, createServer } from "node:net";
import { join, resolve } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import pg from "pg";
import type { Logger } from "../../core/environment.ts";
import { locateBinaries, type RunAs, runAsFor } from "./postgres-binaries.ts";
import { ensureCluster, readPostmasterPid, rememberPort, signalProcess, stopLeftover } from "./postgres-cluster.ts";

export interface EmbeddedPostgresOptions {
  /** Holds the cluster, its password (0600) and `server.log`; created when missing. One process at a time may own it. */
  readonly dataDir: string;
  /** 0 (default): the port of the last time if it is free, else a free one. */
  readonly port?: number;
  readonly logger: Logger;
  /** Ends a start that is under way; nothing of it stays behind. */
  readonly signal?: AbortSignal | undefined;
  /** Server settings besides ours, e.g. `{ max_connections: "20" }`. */
  readonly settings?: Readonly<Record<string, string>>;
}

export interface EmbeddedPostgres {
  /** With user and password; database `pulsegate`. */
  readonly url: string;
  readonly port: number;
  /** Ends sessions and flushes; kills what has not ended by the deadline. Resolves when the server is gone. */
  stop(deadlineMs?: number): Promise<void>;
}

const READY_POLL_MS = 10;
const READY_TIMEOUT_MS = 60_000;
const START_TRIES = 20;
const START_RETRY_MS = 300;
const STOP_DEADLINE_MS = 8_000;
const CONNECT_TIMEOUT_MS = 8_000;
const RESTART_DELAY_MS = 1_000;
/** Reachable from this machine alone, and the same times on every machine. */
const SETTINGS = { listen_addresses: "127.0.0.1", unix_socket_directories: "", timezone: "UTC", log_timezone: "UTC" };
const EMBEDDED_USER = "pulsegate";
const EMBEDDED_DATABASE = "pulsegate";

/**
 * A real PostgreSQL server of our own on the loopback interface. The caller holds the lock of the
 * surrounding data folder: a server that still runs on `dataDir` is taken for what a killed process
 * left behind, and stopped first. It has a session of its own, so that Ctrl-C reaches PulseGate
 * alone and the drain finds a database; when this process dies by force, a guard stops it.
 */
export async function startEmbeddedPostgres(options: EmbeddedPostgresOptions): Promise<EmbeddedPostgres> {
  const folder = resolve(options.dataDir);
  await mkdir(folder, { recursive: true });
  const binaries = await locateBinaries();
  const runAs = await runAsFor([binaries.postgres, join(folder, "data")]);
  const dataDir = join(folder, "data");
  await stopLeftover(dataDir);
  const { signal } = options;
  const secret = await ensureCluster({ dataDir, initdb: binaries.initdb, runAs, signal });
  const server = new Server({
    ...options,
    dataDir,
    logFile: join(folder, "server.log"),
    program: binaries.postgres,
    runAs,
  });
  const giveUp = () => void server.stop();
  signal?.addEventListener("abort", giveUp);
  try {
    signal?.throwIfAborted();
    const port = await server.start(options.port || secret.port || 0, options.port !== undefined && options.port !== 0);
    const url = (database: string) => `postgres://${EMBEDDED_USER}:${secret.password}@127.0.0.1:${port}/${database}`;
    if (port !== secret.port) await rememberPort(dataDir, { ...secret, port });
    await ensureDatabase(url);
    signal?.throwIfAborted();
    return { url: url(EMBEDDED_DATABASE), port, stop: (deadlineMs) => server.stop(deadlineMs) };
  } catch (error) {
    await server.stop();
    throw error;
  } finally {
    signal?.removeEventListener("abort", giveUp);
  }
}

interface ServerOptions extends EmbeddedPostgresOptions {
  readonly logFile: string;
  readonly program: string;
  readonly runAs: RunAs;
}

/** One postmaster at a time; started again when it dies without being asked to. */
class Server {
  readonly #options: ServerOptions;
  #child: ChildProcess | undefined;
  #stopping: Promise<void> | undefined;
  readonly #stopped = new AbortController();

  constructor(options: ServerOptions) {
    this.#options = options;
  }

  /** Resolves to the port once connections are accepted. */
  async start(wantedPort: number, fixed: boolean): Promise<number> {
    for (let tries = 1; ; tries++) {
      const isTaken = wantedPort === 0 || !(await isFree(wantedPort));
      if (isTaken && fixed) throw new Error(`port ${wantedPort} is in use: stop what listens there, or choose another`);
      const port = isTaken ? await freePort() : wantedPort;
      const failure = await this.#launch(port);
      if (failure === undefined) return port;
      if (this.#stopping !== undefined || tries === START_TRIES) throw failure;
      // Sessions of a postmaster that was killed hold its shared memory until they notice.
      await sleep(START_RETRY_MS);
    }
  }

  async #launch(port: number): Promise<Error | undefined> {
    const { dataDir, logFile, logger } = this.#options;
    const log = await open(logFile, "w", 0o600);
    if (this.#stopping !== undefined) {
      await log.close();
      return new Error("the embedded PostgreSQL was stopped while it started");
    }
    const child = this.#spawn(port, log.fd);
    // At once, so that a stop finds it while it starts.
    this.#child = child;
    await log.close();
    const exited = once(child, "exit");
    exited.catch(() => {});
    if (!(await becomesReady(child, dataDir))) {
      child.kill("SIGQUIT");
      await exited.catch(() => {});
      return new Error(`the embedded PostgreSQL did not start: ${await lastLines(logFile)} (see ${logFile})`);
    }
    const guard = spawnGuard(child.pid as number);
    child.once("exit", (code, signal) => {
      guard.kill("SIGKILL");
      if (this.#stopping !== undefined) return;
      logger.error({ code, signal, logFile }, "the embedded PostgreSQL ended unexpectedly; starting it again");
      void this.#restart(port);
    });
    return undefined;
  }

  #spawn(port: number, logFd: number): ChildProcess {
    const { dataDir, program, runAs } = this.#options;
    const settings = Object.entries({ ...this.#options.settings, ...SETTINGS });
    const args = [
      "-D",
      dataDir,
      "-p",
      String(port),
      ...settings.flatMap(([name, value]) => ["-c", `${name}=${value}`]),
    ];
    const [command, commandArgs] = runAs.command(program, args);
    const child = spawn(command, commandArgs, {
      cwd: dataDir,
      // PGPORT, PGTZ and the like of the user's shell must not reach this server.
      env: { PATH: process.env["PATH"], LC_ALL: "C" },
      stdio: ["ignore", logFd, logFd],
      detached: true,
    });
    child.unref();
    return child;
  }

  async #restart(port: number): Promise<void> {
    while (this.#stopping === undefined) {
      try {
        // Clients know this port: it must not move.
        await this.start(port, true);
        return;
      } catch (error) {
        this.#options.logger.error({ error }, "the embedded PostgreSQL can't be started again");
        await sleep(RESTART_DELAY_MS, undefined, { signal: this.#stopped.signal }).catch(() => {});
      }
    }
  }

  stop(deadlineMs = STOP_DEADLINE_MS): Promise<void> {
    this.#stopping ??= this.#stop(deadlineMs);
    return this.#stopping;
  }

  async #stop(deadlineMs: number): Promise<void> {
    this.#stopped.abort();
    const child = this.#child;
    if (child?.pid === undefined || hasExited(child)) return;
    for (const { signal, share } of STOP_LADDER) {
      const family = signal === "SIGKILL" ? [...(await childrenOf(child.pid)), child.pid] : [child.pid];
      // Frozen ones hear nothing else.
      for (const pid of await childrenOf(child.pid)) signalProcess(pid, "SIGCONT");
      child.kill("SIGCONT");
      for (const pid of family) signalProcess(pid, signal);
      if (await exitsWithin(child, deadlineMs * share)) return;
      this.#options.logger.warn({ pid: child.pid, signal }, "the embedded PostgreSQL does not stop");
    }
  }
}

/**
 * Fast shutdown first, then immediate: both leave a cluster that recovers. What is left after the
 * deadline is killed, sessions first: without a postmaster they would stay, if they are stuck.
 */
const STOP_LADDER = [
  { signal: "SIGINT", share: 0.5 },
  { signal: "SIGQUIT", share: 0.25 },
  { signal: "SIGKILL", share: 0.25 },
] as const;

/** Where the system does not tell, none. */
async function childrenOf(pid: number): Promise<number[]> {
  const text = await readFile(`/proc/${pid}/task/${pid}/children`, "utf8").catch(() => "");
  return text.split(" ").filter(Boolean).map(Number);
}

function hasExited(child: ChildProcess): boolean {
  return child.exitCode !== null || child.signalCode !== null;
}

async function exitsWithin(child: ChildProcess, timeoutMs: number): Promise<boolean> {
  if (hasExited(child)) return true;
  child.ref();
  await once(child, "exit", { signal: AbortSignal.timeout(Math.ceil(timeoutMs)) }).catch(() => {});
  return hasExited(child);
}

/** False when the process has ended (or could not be started), or takes longer than any recovery should. */
async function becomesReady(child: ChildProcess, dataDir: string): Promise<boolean> {
  const deadline = performance.now() + READY_TIMEOUT_MS;
  while (child.pid !== undefined && !hasExited(child) && performance.now() < deadline) {
    const file = await readPostmasterPid(dataDir);
    if (file?.pid === child.pid && file?.status === "ready") return true;
    await sleep(READY_POLL_MS);
  }
  return false;
}

const GUARD = `read -r _
for signal in INT QUIT KILL; do
  kill -CONT "$0"; kill -$signal "$0" || exit
  for second in 1 2 3 4 5; do sleep 1; kill -0 "$0" || exit; done
done`;

/** Waits for the end of our pipe, which no kind of death can keep open, then stops the server. */
function spawnGuard(pid: number): ChildProcess {
  const guard = spawn("/bin/sh", ["-c", GUARD, String(pid)], { stdio: ["pipe", "ignore", "ignore"], detached: true });
  guard.once("error", () => {});
  guard.unref();
  (guard.stdin as unknown as { unref(): void } | null)?.unref();
  return guard;
}

async function ensureDatabase(url: (database: string) => string): Promise<void> {
  const known = await withClient(url(EMBEDDED_DATABASE), async () => true).catch((error: { code?: string }) => {
    if (error.code === "3D000") return false;
    throw error;
  });
  if (known) return;
  await withClient(url("postgres"), (client) => client.query(`CREATE DATABASE ${EMBEDDED_DATABASE}`));
}

async function withClient<T>(url: string, use: (client: pg.Client) => Promise<T>): Promise<T> {
  const client = new pg.Client({ connectionString: url, connectionTimeoutMillis: CONNECT_TIMEOUT_MS });
  client.on("error", () => {});
  await client.connect();
  try {
    return await use(client);
  } finally {
    await client.end();
  }
}

function isFree(port: number): Promise<boolean> {
  return new Promise((done) => {
    const socket = connect({ port, host: "127.0.0.1" });
    socket.once("connect", () => {
      socket.destroy();
      done(false);
    });
    socket.once("error", () => done(true));
  });
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as { port: number };
  server.close();
  await once(server, "close");
  return port;
}

async function lastLines(file: string): Promise<string> {
  const text = await readFile(file, "utf8").catch(() => "");
  const lines = text.split("\n").filter((line) => /FATAL|ERROR|PANIC|HINT|setpriv/.test(line));
  return lines.slice(-3).join(" ") || "it ended without a word";
}
