import { Cluster } from "ioredis";
import type { Certificates } from "./certificates.ts";
import { freePort, startTestRedis, type TestRedis } from "./redis.ts";
import { until } from "./until.ts";

export interface TestCluster {
  readonly url: string;
  /** The primaries, then the replica of each, as they were at first. */
  readonly nodes: readonly TestRedis[];
  /** A connection of the test's own. */
  readonly admin: Cluster;
  stop(): Promise<void>;
}

export interface TestClusterOptions {
  readonly binary?: string | undefined;
  /** One for each primary. */
  readonly withReplicas?: boolean | undefined;
  /** A node that is silent for so long is taken for dead; 15 seconds, for machines that are busy. */
  readonly nodeTimeoutMs?: number | undefined;
  readonly tls?: Certificates | undefined;
}

const SLOTS = 16_384;
const PRIMARIES = 3;

/** A real cluster of three primaries on free loopback ports, all slots served. */
export async function startTestCluster(options: TestClusterOptions = {}): Promise<TestCluster> {
  const { binary, withReplicas = false, nodeTimeoutMs = 15_000, tls } = options;
  const busPorts: number[] = [];
  const nodes: TestRedis[] = [];
  const stop = async () => void (await Promise.all(nodes.map((node) => node.stop())));
  try {
    for (let i = 0; i < (withReplicas ? 2 : 1) * PRIMARIES; i++) {
      const busPort = await freePort();
      busPorts.push(busPort);
      const own = ["--cluster-enabled", "yes", "--cluster-port", String(busPort)];
      const args = [...own, "--cluster-node-timeout", String(nodeTimeoutMs), "--repl-diskless-sync-delay", "0"];
      nodes.push(await startTestRedis({ args, binary, tls }));
    }
    await form(nodes, busPorts);
  } catch (error) {
    await stop();
    throw error;
  }
  const hosts = nodes.slice(0, PRIMARIES).map(({ port }) => `127.0.0.1:${port}`);
  const redisOptions = tls === undefined ? {} : { tls: { ca: tls.ca, cert: tls.cert, key: tls.key } };
  const admin = new Cluster(
    hosts.map((host) => `redis://${host}`),
    { redisOptions },
  );
  admin.on("error", () => {});
  return {
    url: `${tls === undefined ? "redis" : "rediss"}+cluster://${hosts.join()}`,
    nodes,
    admin,
    async stop() {
      admin.disconnect();
      await stop();
    },
  };
}

async function form(nodes: readonly TestRedis[], busPorts: readonly number[]): Promise<void> {
  const first = nodes[0] as TestRedis;
  for (const [i, { admin, port }] of nodes.entries()) {
    const [from, to] = [Math.floor((i * SLOTS) / PRIMARIES), Math.floor(((i + 1) * SLOTS) / PRIMARIES) - 1];
    if (i < PRIMARIES) await admin.call("CLUSTER", "ADDSLOTSRANGE", from, to);
    if (i > 0) await first.admin.call("CLUSTER", "MEET", "127.0.0.1", port, busPorts[i] as number);
  }
  await Promise.all(nodes.map((node) => until(() => knowsAll(node, nodes.length), "the nodes know one another")));
  for (const [i, { admin }] of nodes.entries()) {
    if (i < PRIMARIES) continue;
    await admin.call("CLUSTER", "REPLICATE", await idOf(nodes[i - PRIMARIES] as TestRedis));
    await until(
      async () => ((await admin.info("replication")).includes("master_link_status:up") ? true : undefined),
      "sync",
    );
  }
  await Promise.all(nodes.map((node) => until(() => serves(node), "the cluster serves")));
}

/** As the cluster names the node. */
export async function idOf({ admin }: TestRedis): Promise<string> {
  return String(await admin.call("CLUSTER", "MYID"));
}

/** The slot of a key, and the port of the primary that `asked` takes for its owner. */
export async function ownerOf({ admin }: TestRedis, key: string): Promise<{ slot: number; port: number }> {
  const slot = Number(await admin.call("CLUSTER", "KEYSLOT", key));
  const ranges = (await admin.call("CLUSTER", "SLOTS")) as Array<[number, number, [string, number]]>;
  const owner = ranges.find(([first, last]) => first <= slot && slot <= last)?.[2];
  if (owner === undefined) throw new Error(`no owner of slot ${slot}`);
  return { slot, port: owner[1] };
}

async function knowsAll({ admin }: TestRedis, count: number): Promise<true | undefined> {
  return String(await admin.call("CLUSTER", "INFO")).includes(`cluster_known_nodes:${count}\r`) ? true : undefined;
}

async function serves({ admin }: TestRedis): Promise<true | undefined> {
  return String(await admin.call("CLUSTER", "INFO")).includes("cluster_state:ok") ? true : undefined;
}
