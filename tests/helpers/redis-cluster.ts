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
  /** What each node takes the cluster for, and what it has logged last: why a test failed. */
  report(): Promise<string>;
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
const ANSWER_MS = 2_000;

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
    report: async () => (await Promise.all(nodes.map(viewOf))).join("\n\n"),
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

/**
 * As `redis-cli --cluster reshard` does: some keys at a time, while both servers answer for the slot. Begins once all
 * nodes have heard of the last move: one that has not may give its slot a number that is too low, and lose it again
 * to the server that it had it from, with all keys.
 */
export async function moveSlot({ nodes }: TestCluster, key: string): Promise<void> {
  await until(() => agree(nodes), "the nodes agree on who has which slots");
  const all = nodes.slice(0, PRIMARIES);
  const { slot, port: owner } = await ownerOf(all[0] as TestRedis, key);
  const from = all.find(({ port }) => port === owner) as TestRedis;
  const to = all.find((node) => node !== from) as TestRedis;
  await to.admin.call("CLUSTER", "SETSLOT", slot, "IMPORTING", await idOf(from));
  await from.admin.call("CLUSTER", "SETSLOT", slot, "MIGRATING", await idOf(to));
  for (;;) {
    const keys = (await from.admin.call("CLUSTER", "GETKEYSINSLOT", slot, 1)) as string[];
    if (keys.length === 0) break;
    await from.admin.call("MIGRATE", "127.0.0.1", to.port, "", 0, 10_000, "KEYS", ...keys);
  }
  for (const node of [to, from, ...all]) await node.admin.call("CLUSTER", "SETSLOT", slot, "NODE", await idOf(to));
}

/** On every node's number and slots. */
async function agree(nodes: readonly TestRedis[]): Promise<true | undefined> {
  const views = await Promise.all(nodes.map(async ({ admin }) => String(await admin.call("CLUSTER", "NODES"))));
  // Id, flags, primary, number, slots: of flags all but `myself`; not the times of pings.
  const lines = (view: string) =>
    view
      .trim()
      .split("\n")
      .map((line) => line.replace("myself,", "").replace(/(\S+ \S+ \S+ \S+) \d+ \d+/, "$1"));
  const [first, ...others] = views.map((view) => lines(view).sort().join("\n"));
  return others.every((other) => other === first) ? true : undefined;
}

/** As the cluster names the node. */
async function idOf({ admin }: TestRedis): Promise<string> {
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

async function viewOf(node: TestRedis): Promise<string> {
  const soon = new Promise<string>((resolve) => void setTimeout(() => resolve("no answer"), ANSWER_MS).unref());
  const asked = ["INFO", "NODES"].map((what) => Promise.race([node.admin.call("CLUSTER", what).catch(String), soon]));
  return [`--- port ${node.port}`, ...(await Promise.all(asked)), await node.lastWords().catch(String)].join("\n");
}
