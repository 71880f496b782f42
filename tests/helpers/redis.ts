import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { once } from "node:events";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { Redis, type RedisOptions } from "ioredis";
import type { Certificates } from "./certificates.ts";
import { freePorts } from "./free-ports.ts";
import { until } from "./until.ts";

/** Where `make test` puts the servers that it does not install. */
const CACHE = resolve(import.meta.dirname, "../../node_modules/.cache/pulsegate-redis");

export interface TestRedis {
  readonly port: number;
  readonly url: string;
  /** A connection of the test's own. */
  readonly admin: Redis;
  /** Kills the process and starts it again over what it has written. */
  restart(): Promise<void>;
  kill(): Promise<void>;
  start(): Promise<void>;
  /** Removes all that a killed server has written. */
  forget(): Promise<void>;
  /** Stops the process where it stands, or lets it go on. */
  freeze(frozen: boolean): void;
  /** The last lines of what the server has written into its log. */
  lastWords(): Promise<string>;
  stop(): Promise<void>;
}

/** Safe settings: what PulseGate demands. */
const DURABLE = ["--appendonly", "yes", "--appendfsync", "always", "--maxmemory-policy", "noeviction", "--save", ""];

export interface TestRedisOptions {
  /** Come behind the safe settings. */
  readonly args?: readonly string[] | undefined;
  readonly binary?: string | undefined;
  /** Only over TLS then, and only for clients with a certificate. */
  readonly tls?: Certificates | undefined;
}

const WORDS_MAX = 60;

/** A real server on a free loopback port. Start one in `beforeAll`, stop it in `afterAll`. */
export async function startTestRedis({ args = [], binary, tls }: TestRedisOptions = {}): Promise<TestRedis> {
  const folder = await mkdtemp(join(tmpdir(), "pulsegate-redis-"));
  const port = await freePort();
  const place: RedisOptions = {
    port,
    host: "127.0.0.1",
    ...(tls && { tls: { ca: tls.ca, cert: tls.cert, key: tls.key } }),
  };
  const own = [...portArgs(port, tls), "--bind", "127.0.0.1", "--dir", folder, "--logfile", join(folder, "log")];
  // What CONFIG REWRITE writes, of whom it replicates above all, holds when it is started again.
  const settings = join(folder, "redis.conf");
  await writeFile(settings, "");
  const command = [binary ?? defaultServer(), settings, ...own, ...DURABLE, ...args] as const;
  let child: ChildProcess | undefined;
  const kill = async () => {
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return;
    child.kill("SIGKILL");
    await once(child, "exit");
  };
  const onExit = () => void child?.kill("SIGKILL");
  process.on("exit", onExit);
  const admin = new Redis({ ...place, lazyConnect: true, maxRetriesPerRequest: null });
  admin.on("error", () => {});
  const start = async () => {
    const [file, ...rest] = command;
    child = spawn(file, rest, { stdio: "ignore" });
    await until(() => answers(place), `Redis on port ${port}`);
  };
  await start();
  await admin.connect();
  return {
    port,
    url: `${tls === undefined ? "redis" : "rediss"}://127.0.0.1:${port}`,
    admin,
    kill,
    start,
    forget: () => rm(join(folder, "appendonlydir"), { recursive: true, force: true }),
    async restart() {
      await kill();
      await start();
    },
    freeze: (frozen) => void child?.kill(frozen ? "SIGSTOP" : "SIGCONT"),
    lastWords: async () => (await readFile(join(folder, "log"), "utf8")).split("\n").slice(-WORDS_MAX).join("\n"),
    async stop() {
      process.off("exit", onExit);
      admin.disconnect();
      await kill();
      await rm(folder, { recursive: true, force: true, maxRetries: 5 });
    },
  };
}

/** Settings of a server, or of a sentinel. */
export function portArgs(port: number, tls: Certificates | undefined): string[] {
  if (tls === undefined) return ["--port", String(port)];
  const { ca, cert, key } = tls.files;
  const files = ["--tls-ca-cert-file", ca, "--tls-cert-file", cert, "--tls-key-file", key];
  const always = ["--tls-replication", "yes", "--tls-cluster", "yes"];
  return ["--port", "0", "--tls-port", String(port), ...files, ...always];
}

async function answers(place: RedisOptions): Promise<true | undefined> {
  const client = new Redis({
    ...place,
    lazyConnect: true,
    retryStrategy: null,
    maxRetriesPerRequest: 0,
  });
  client.on("error", () => {});
  try {
    await client.connect();
    await client.ping();
    return true;
  } catch {
    return undefined;
  } finally {
    client.disconnect();
  }
}

/** The installed server, and Redis 8 and Valkey 8 where they could be had. Says what to do when there is none. */
export function redisServers(): Array<{ readonly name: string; readonly binary: string }> {
  const binaries = [join(CACHE, "redis-server"), "redis-server"].filter(isServer).slice(0, 1);
  if (binaries.length === 0) {
    throw new Error("redis-server is missing: run `make test`, which installs it, or `apt-get install redis-server`");
  }
  const others = [join(CACHE, "8/redis-server"), join(CACHE, "valkey/valkey-server")];
  binaries.push(...others.filter((other) => existsSync(other)));
  return binaries.map((binary) => ({ name: nameOf(binary), binary }));
}

function defaultServer(): string {
  const [{ binary } = { binary: "" }] = redisServers();
  return binary;
}

function isServer(binary: string): boolean {
  return spawnSync(binary, ["--version"]).status === 0;
}

/** As `redis 7.0`. */
function nameOf(binary: string): string {
  const told = spawnSync(binary, ["--version"]).stdout.toString();
  const [, product = "", version = ""] = /^(\w+) server v=(\d+\.\d+)/.exec(told) ?? [];
  return `${product.toLowerCase()} ${version}`;
}

export async function freePort(): Promise<number> {
  const [port] = (await freePorts(1)) as [number];
  return port;
}
