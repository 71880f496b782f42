import { setTimeout as sleep } from "node:timers/promises";
import { startProxy } from "../../plugins/testing/proxy.ts";
import { startTestRedis, type TestRedis } from "../helpers/redis.ts";
import { startTestSentinels, type TestSentinels } from "../helpers/redis-sentinel.ts";
import { harmsOfConnections } from "./database-harms.ts";
import type { Harm } from "./world.ts";

/** What a fleet keeps its log in, with the harm that is done to it. */
export interface Servers {
  /** What doors connect to, and what the others do. */
  readonly urls: { readonly doors: string; readonly others: string };
  /** Of the log's settings, what these servers demand. */
  readonly settings: string;
  readonly harms: Readonly<Record<string, Harm>>;
  close(): Promise<void>;
}

/** One server, behind connections that can be harmed: those of the doors, those of the others. */
export async function startOneServer(): Promise<Servers> {
  const redis = await startTestRedis();
  const toRedis = () => ({ host: "127.0.0.1", port: redis.port });
  const [doors, others] = await Promise.all([startProxy(toRedis), startProxy(toRedis)]);
  return {
    urls: { doors: `redis://127.0.0.1:${doors.port}`, others: `redis://127.0.0.1:${others.port}` },
    settings: "",
    harms: {
      "kill -9 Redis": (random) => killed(redis, random() * 1_000),
      // Sometimes longer than an answer may take.
      "SIGSTOP Redis": (random) => frozen(redis, 500 + random() * 6_000),
      ...harmsOfConnections(doors, "of the doors to Redis"),
      ...harmsOfConnections(others, "of the workers to Redis"),
    },
    async close() {
      await Promise.all([doors.close(), others.close()]);
      await redis.stop();
    },
  };
}

const FAILOVER_MS = 3_000;
const REPLACED_MS_MAX = 90_000;
const POLL_MS = 50;

/** A primary and a replica; sentinels put one in the other's place. An acknowledgement waits for both. */
export async function startReplacedServers(): Promise<Servers> {
  const sentinels = await startTestSentinels({ failoverMs: FAILOVER_MS });
  const { url } = sentinels;
  return {
    urls: { doors: url, others: url },
    settings: ", replicas: 1",
    harms: {
      "kill -9 the primary until the replica has its place": async () => {
        const { primary } = await placesOf(sentinels);
        await primary.kill();
        await replaced(sentinels, primary);
        await primary.start();
        await whole(sentinels);
      },
      "SIGSTOP the primary until the replica has its place": async () => {
        const { primary } = await placesOf(sentinels);
        primary.freeze(true);
        await replaced(sentinels, primary);
        primary.freeze(false);
        await whole(sentinels);
      },
      "kill -9 the primary": async (random) => {
        await killed((await placesOf(sentinels)).primary, random() * 500);
        await whole(sentinels);
      },
      "kill -9 the replica": async (random) => {
        await killed((await placesOf(sentinels)).replica, random() * 500);
        await whole(sentinels);
      },
    },
    close: () => sentinels.stop(),
  };
}

async function killed(server: TestRedis, ms: number): Promise<void> {
  await server.kill();
  await sleep(ms);
  await server.start();
}

async function frozen(server: TestRedis, ms: number): Promise<void> {
  server.freeze(true);
  await sleep(ms);
  server.freeze(false);
}

async function placesOf({ servers, primaryPort }: TestSentinels) {
  const port = await primaryPort();
  const primary = servers.find((one) => one.port === port) as TestRedis;
  return { primary, replica: servers.find((one) => one !== primary) as TestRedis };
}

async function replaced({ primaryPort }: TestSentinels, primary: TestRedis): Promise<void> {
  await soon("another primary", async () => (await primaryPort()) !== primary.port);
}

/** The primary has its replica again: a process that starts without is refused. */
async function whole(sentinels: TestSentinels): Promise<void> {
  await soon("the primary has its replica", async () => {
    const { primary } = await placesOf(sentinels);
    const told = await primary.admin.info("replication");
    return told.includes("role:master") && told.includes("state=online");
  });
}

async function soon(what: string, isSo: () => Promise<boolean>): Promise<void> {
  for (const until = performance.now() + REPLACED_MS_MAX; performance.now() < until; await sleep(POLL_MS))
    if (await isSo()) return;
  throw new Error(`not in time: ${what}`);
}
