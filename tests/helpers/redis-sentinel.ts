import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Redis } from "ioredis";
import type { Certificates } from "./certificates.ts";
import { freePort, portArgs, redisServers, startTestRedis, type TestRedis } from "./redis.ts";
import { until } from "./until.ts";

export interface TestSentinels {
  /** Of the primary, by way of the sentinels. */
  readonly url: string;
  /** The primary and its replica, or the other way round. */
  readonly servers: readonly TestRedis[];
  /** Port of the server that the sentinels name now. */
  primaryPort(): Promise<number>;
  stop(): Promise<void>;
}

const NAME = "pulse";
const SENTINELS = 3;

export interface TestSentinelsOptions {
  readonly tls?: Certificates | undefined;
  /** How long a replacement may take, and half of how long the next one waits; 10 seconds. */
  readonly failoverMs?: number | undefined;
}

/** A real primary with a replica, and three sentinels that agree by two, all on free loopback ports. */
export async function startTestSentinels(options: TestSentinelsOptions = {}): Promise<TestSentinels> {
  const { tls, failoverMs = 10_000 } = options;
  const servers: TestRedis[] = [];
  const sentinels: Sentinel[] = [];
  const stop = async () => void (await Promise.all([...sentinels, ...servers].map((one) => one.stop())));
  try {
    const args = ["--repl-diskless-sync-delay", "0"];
    const primary = await startTestRedis({ args, tls });
    servers.push(primary);
    const replica = await startTestRedis({ args, tls });
    servers.push(replica);
    // Not as an argument: it would be the replica of the same server again when it is started again in its place.
    await replica.admin.replicaof("127.0.0.1", primary.port);
    await replica.admin.config("REWRITE");
    const hasReplica = async () =>
      (await primary.admin.info("replication")).includes("state=online") ? true : undefined;
    await until(hasReplica, "the replica");
    for (let i = 0; i < SENTINELS; i++)
      sentinels.push(await startSentinel({ primaryPort: primary.port, failoverMs, tls }));
    await Promise.all(sentinels.map(({ admin }) => until(() => knowsAll(admin), "the sentinels know one another")));
    const hosts = sentinels.map(({ port }) => `127.0.0.1:${port}`).join();
    const [first] = sentinels as [Sentinel];
    return {
      url: `${tls === undefined ? "redis" : "rediss"}+sentinel://${hosts}/${NAME}`,
      servers,
      primaryPort: async () =>
        Number(((await first.admin.call("SENTINEL", "GET-MASTER-ADDR-BY-NAME", NAME)) as string[])[1]),
      stop,
    };
  } catch (error) {
    await stop();
    throw error;
  }
}

interface Sentinel {
  readonly port: number;
  readonly admin: Redis;
  stop(): Promise<void>;
}

interface SentinelOptions {
  readonly primaryPort: number;
  readonly failoverMs: number;
  readonly tls: Certificates | undefined;
}

async function startSentinel({ primaryPort, failoverMs, tls }: SentinelOptions): Promise<Sentinel> {
  const folder = await mkdtemp(join(tmpdir(), "pulsegate-sentinel-"));
  const port = await freePort();
  const file = join(folder, "sentinel.conf");
  await writeFile(
    file,
    `bind 127.0.0.1
dir ${folder}
logfile ${join(folder, "log")}
sentinel monitor ${NAME} 127.0.0.1 ${primaryPort} 2
sentinel down-after-milliseconds ${NAME} 2000
sentinel failover-timeout ${NAME} ${failoverMs}
`,
  );
  const [{ binary } = { binary: "" }] = redisServers();
  const child = spawn(binary, [file, "--sentinel", ...portArgs(port, tls)], { stdio: "ignore" });
  const onExit = () => void child.kill("SIGKILL");
  process.on("exit", onExit);
  const admin = new Redis({
    ...{ port, host: "127.0.0.1", maxRetriesPerRequest: null, retryStrategy: () => 20 },
    ...(tls && { tls: { ca: tls.ca, cert: tls.cert, key: tls.key } }),
  });
  admin.on("error", () => {});
  return {
    port,
    admin,
    async stop() {
      process.off("exit", onExit);
      admin.disconnect();
      await killed(child);
      await rm(folder, { recursive: true, force: true, maxRetries: 5 });
    },
  };
}

async function killed(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  child.kill("SIGKILL");
  await once(child, "exit");
}

async function knowsAll(admin: Redis): Promise<true | undefined> {
  const facts = (await admin.call("SENTINEL", "MASTER", NAME)) as string[];
  const fact = (name: string) => Number(facts[facts.indexOf(name) + 1]);
  return fact("num-other-sentinels") === SENTINELS - 1 && fact("num-slaves") === 1 ? true : undefined;
}
