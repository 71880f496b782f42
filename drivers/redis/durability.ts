import type { Redis } from "ioredis";
import type { Client } from "./client.ts";

/** One setting with which Redis may lose what it has acknowledged. */
export interface Fault {
  /** Where: `host:port`. */
  readonly server: string;
  /** What is wrong, with the setting's name. */
  readonly what: string;
  /** The command that mends it. */
  readonly mend: string;
}

export interface Durability {
  readonly faults: readonly Fault[];
  /** Acknowledgements must wait for WAITAOF: the file is synced once a second. */
  readonly waits: boolean;
  /** Keys that Redis has evicted since it was started, in all. */
  readonly evicted: number;
}

/** WAITAOF came with it. */
const WAITAOF_SINCE = [7, 2] as const;

/** Asks every primary. Rejects when one does not answer. `replicas`: how many an acknowledgement waits for. */
export async function checkDurability(client: Client, replicas: number): Promise<Durability> {
  const all = await Promise.all(client.primaries.map((node) => checkNode(node, client.isCluster, replicas)));
  return {
    faults: all.flatMap(({ faults }) => faults),
    waits: all.some(({ waits }) => waits),
    evicted: all.reduce((sum, { evicted }) => sum + evicted, 0),
  };
}

async function checkNode(node: Redis, inCluster: boolean, replicas: number): Promise<Durability> {
  const { host = "", port = 0 } = node.options;
  const server = `${host}:${port}`;
  const cli = `redis-cli -h ${host} -p ${port}`;
  const info = new Map(
    (await node.info()).split("\r\n").map((line): [string, string] => {
      const colon = line.indexOf(":");
      return [line.slice(0, colon), line.slice(colon + 1)];
    }),
  );
  const faults: Fault[] = [];
  const settings = await settingsOf(node, { server, cli, faults });
  const demand = (name: string, wanted: string): void => {
    const value = settings.get(name);
    if (value === undefined || value === wanted) return;
    faults.push({ server, what: `${name} is ${value}, not ${wanted}`, mend: `${cli} CONFIG SET ${name} ${wanted}` });
  };
  demand("appendonly", "yes");
  demand("maxmemory-policy", "noeviction");
  const waits = settings.get("appendfsync") === "everysec" && knowsWaitaof(info.get("redis_version"));
  if (!waits) demand("appendfsync", "always");
  if (info.get("role") !== "master") {
    faults.push({ server, what: `role is ${info.get("role")}, not master`, mend: `point log.url at the primary` });
  }
  const written = info.get("aof_last_write_status");
  if (written !== undefined && written !== "ok") {
    faults.push({
      server,
      what: `aof_last_write_status is ${written}`,
      mend: `free space on its disk, then ${cli} INFO persistence`,
    });
  }
  faults.push(...replicaFaults({ server, info, inCluster }, replicas));
  return { faults, waits, evicted: Number(info.get("evicted_keys") ?? 0) };
}

interface Told {
  readonly server: string;
  readonly info: ReadonlyMap<string, string>;
  readonly inCluster: boolean;
}

/** One that takes the primary's place has what was acknowledged only if the acknowledgement waited for it. */
function replicaFaults({ server, info, inCluster }: Told, replicas: number): Fault[] {
  const known = Number(info.get("connected_slaves") ?? 0);
  if (replicas === 0 && known > 0) {
    const what = `it has ${known} replica(s), and one that takes its place may lack what was acknowledged`;
    return [{ server, what, mend: "set log.replicas to 1 or more in the configuration" }];
  }
  const online = [...info].filter(([name, value]) => /^slave\d+$/.test(name) && value.includes("state=online")).length;
  if (online >= replicas) return [];
  const what = `${online} of the ${replicas} replica(s) that log.replicas asks for are connected`;
  const follow = inCluster ? "CLUSTER REPLICATE NODE-ID" : `REPLICAOF ${server.replace(":", " ")}`;
  return [{ server, what, mend: `redis-cli -h REPLICA ${follow}` }];
}

interface Asked {
  readonly server: string;
  readonly cli: string;
  readonly faults: Fault[];
}

async function settingsOf(node: Redis, { server, cli, faults }: Asked): Promise<Map<string, string>> {
  const settings = new Map<string, string>();
  try {
    for (const name of ["appendonly", "appendfsync", "maxmemory-policy"]) {
      const [, value] = await node.config("GET", name);
      if (value !== undefined) settings.set(name, value);
    }
  } catch (error) {
    if (!String(error).includes("NOPERM") && !String(error).includes("unknown command")) throw error;
    const what = "CONFIG GET is refused, so that appendonly and appendfsync can't be checked";
    faults.push({ server, what, mend: `${cli} ACL SETUSER ${node.options.username ?? "default"} +config|get` });
  }
  return settings;
}

function knowsWaitaof(version = ""): boolean {
  const [major = 0, minor = 0] = version.split(".").map(Number);
  return major > WAITAOF_SINCE[0] || (major === WAITAOF_SINCE[0] && minor >= WAITAOF_SINCE[1]);
}
