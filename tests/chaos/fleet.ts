import { createHash } from "node:crypto";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import type { Random } from "../../core/environment.ts";
import { startProxy } from "../../plugins/testing/proxy.ts";
import { freePorts } from "../helpers/free-ports.ts";
import { harmsOfDatabase } from "./database-harms.ts";
import { type Servers, startOneServer, startReplacedServers } from "./redis-servers.ts";
import { adminDocument, Victim } from "./victim.ts";
import type { Ground, Harm, World } from "./world.ts";

const ADMIN_TOKEN = "admin-token-of-the-chaos-run";
/** So short that one that is frozen for some seconds is replaced. */
const LEASE = "2s";
const APIS = 2;
const WORKERS = 2;

/** The processes of all roles over one Redis. */
export async function startFleet(ground: Ground): Promise<World> {
  return startProcesses(ground, await startOneServer());
}

/** The database is harmed enough where the log is embedded. */
const OF_DATABASE = ["kill -9 PostgreSQL", "cut connections to PostgreSQL before the reply"];
const WITH_FAILOVER = ["kill -9 an API", "kill -9 a worker", "SIGSTOP a worker for longer than its lease"];

/** As `startFleet`, over a primary that is replaced; what has nothing to do with that is done there. */
export async function startFailoverFleet(ground: Ground): Promise<World> {
  const servers = await startReplacedServers();
  const world = await startProcesses(ground, servers);
  return { ...world, harms: { ...only(WITH_FAILOVER, world.harms), ...servers.harms } };
}

async function startProcesses({ folder, postgres, tenants }: Ground, servers: Servers): Promise<World> {
  const toDatabase = await startProxy(() => ({ host: "127.0.0.1", port: postgres.port }));
  const config = join(folder, "pulsegate.yaml");
  await writeFile(config, configText(tenants, servers.settings));
  const databaseUrl = new URL(postgres.url);
  databaseUrl.port = String(toDatabase.port);
  const ports = await freePorts(2 * (APIS + WORKERS + 1));
  const make = (role: "api" | "worker" | "admin", n: number): Process => {
    const [port = 0, opsPort = 0] = ports.splice(0, 2);
    const env = {
      REDIS_URL: role === "api" ? servers.urls.doors : servers.urls.others,
      DATABASE_URL: databaseUrl.href,
      HTTP_PORT: String(port),
      OPS_PORT: String(opsPort),
    };
    const args = ["start", "--config", config, "--role", role];
    const isReady = ({ output }: { readonly output: string }) => output.includes('"msg":"ready"');
    const victim = new Victim({ name: `${role} ${n}`, args, env, isReady });
    return { victim, door: `http://127.0.0.1:${port}`, ops: `http://127.0.0.1:${opsPort}` };
  };
  const apis = Array.from({ length: APIS }, (_, n) => make("api", n));
  const workers = Array.from({ length: WORKERS }, (_, n) => make("worker", n));
  const keeper = make("admin", 0);
  const all = [keeper, ...apis, ...workers];
  const close = async (): Promise<void> => {
    await Promise.all(all.map(({ victim }) => victim.kill()));
    await toDatabase.close();
    await servers.close();
  };
  try {
    await Promise.all(all.map(({ victim }) => victim.start()));
  } catch (error) {
    await close();
    throw error;
  }
  return {
    doors: apis.map(({ door }) => door),
    admin: (path) => adminDocument(keeper.ops, ADMIN_TOKEN, path),
    harms: {
      ...harmsOfProcesses({ apis: victimsOf(apis), workers: victimsOf(workers), keeper: keeper.victim }),
      ...servers.harms,
      ...only(OF_DATABASE, harmsOfDatabase(postgres, toDatabase)),
    },
    faults: () => all.flatMap(({ victim }) => victim.faults),
    close,
  };
}

interface Process {
  readonly victim: Victim;
  readonly door: string;
  readonly ops: string;
}

function victimsOf(processes: readonly Process[]): Victim[] {
  return processes.map(({ victim }) => victim);
}

function configText(tenants: string, settings: string): string {
  return `version: 1
log: { driver: redis, url: "\${REDIS_URL}", path: ./data, lease: ${LEASE}${settings} }
http: { port: "\${HTTP_PORT}" }
ops:
  port: "\${OPS_PORT}"
  tokens: [{ id: chaos, role: admin, sha256: ${sha256(ADMIN_TOKEN)} }]
workers: { threads: 1 }
${tenants}`;
}

function sha256(text: string): string {
  return createHash("sha256").update(text).digest("hex");
}

interface Processes {
  readonly apis: readonly Victim[];
  readonly workers: readonly Victim[];
  readonly keeper: Victim;
}

const FREEZE_MS = 1_000;
/** Longer than a lease. */
const LONG_FREEZE_MS = 3_000;

function harmsOfProcesses({ apis, workers, keeper }: Processes): Record<string, Harm> {
  const killed = async (victim: Victim, random: Random): Promise<void> => {
    await victim.kill();
    await sleep(random() * 500);
    await victim.start();
  };
  const stopped = async (victim: Victim): Promise<void> => {
    await victim.terminate();
    await victim.start();
  };
  const frozen = async (victim: Victim, ms: number): Promise<void> => {
    victim.freeze(true);
    await sleep(ms);
    victim.freeze(false);
  };
  return {
    "kill -9 an API": (random) => killed(oneOf(apis, random), random),
    "kill -9 a worker": (random) => killed(oneOf(workers, random), random),
    "kill -9 the admin": (random) => killed(keeper, random),
    "kill -9 every worker": async (random) => void (await Promise.all(workers.map((worker) => killed(worker, random)))),
    "SIGTERM an API": (random) => stopped(oneOf(apis, random)),
    "SIGTERM a worker": (random) => stopped(oneOf(workers, random)),
    "SIGSTOP an API": (random) => frozen(oneOf(apis, random), random() * FREEZE_MS),
    "SIGSTOP a worker for longer than its lease": (random) =>
      frozen(oneOf(workers, random), LONG_FREEZE_MS + random() * FREEZE_MS),
  };
}

function only(names: readonly string[], harms: Readonly<Record<string, Harm>>): Record<string, Harm> {
  return Object.fromEntries(Object.entries(harms).filter(([name]) => names.includes(name)));
}

function oneOf<T>(items: readonly T[], random: Random): T {
  return items[Math.floor(random() * items.length)] as T;
}
