import { createHash, randomBytes } from "node:crypto";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { type RedisLog, openRedisLog } from "../../drivers/redis/index.ts";
import { startTestRedis, type TestRedis } from "../../tests/helpers/redis.ts";
import { benchClock, quiet, silent } from "../log-tools.ts";
import { type Started, start } from "./process.ts";

const BIN = resolve(import.meta.dirname, "../../bin/pulsegate.mjs");
const EMPTY_SINK = resolve(import.meta.dirname, "empty-sink.fixture.ts");

/** A Redis of its own, synced always, and processes of the product over it. */
export interface Fleet {
  readonly redis: TestRedis;
  readonly redisPid: number;
  readonly headers: Readonly<Record<string, string>>;
  /** The log as a process of the product has it, in this one. */
  readonly log: RedisLog;
  start(role: "api" | "worker" | "admin"): Promise<RoleProcess>;
  /** Ends all that runs and removes what was written. */
  stop(): Promise<void>;
}

export interface RoleProcess extends Started {
  /** Empty for a role that takes no events. */
  readonly url: string;
  readonly opsUrl: string;
  /** How many lanes it was kept from committing, because their slots are another's by now. */
  readonly fencedLanes: () => number;
}

/** `tenants` gives the tenants' YAML for the hash of the key in `headers`. */
export async function createFleet(tenants: (sha256: string) => string): Promise<Fleet> {
  const dir = mkdtempSync(join(tmpdir(), "pulsegate-bench-fleet-"));
  const redis = await startTestRedis();
  const key = randomBytes(32).toString("base64url");
  const file = join(dir, "pulsegate.yaml");
  writeFileSync(file, configText({ redis, dir, tenants: tenants(createHash("sha256").update(key).digest("hex")) }));
  const processes: Started[] = [];
  const log = await openRedisLog({
    ...{ connection: { url: redis.url }, instance: "bench", folder: dir },
    ...{ clock: benchClock, logger: quiet, metrics: silent },
  });
  return {
    redis,
    redisPid: Number(/process_id:(\d+)/.exec(await redis.admin.info("server"))?.[1]),
    headers: { "X-API-Key": key },
    log,
    async start(role) {
      const args = [BIN, "start", "--config", file, "--role", role];
      const started = await start(process.execPath, args, (line) => line.includes('"ready"'));
      processes.push(started);
      const { data = "", ops } = JSON.parse(started.line) as { data?: string; ops: string };
      let fenced = 0;
      started.child.stdout?.on("data", (text) => (fenced += String(text).split('"code":"fenced"').length - 1));
      return { ...started, url: data, opsUrl: ops, fencedLanes: () => fenced };
    },
    async stop() {
      await Promise.all(processes.map((started) => started.stop("SIGKILL")));
      await log.close();
      await redis.stop();
      rmSync(dir, { recursive: true });
    },
  };
}

interface ConfigParts {
  readonly redis: TestRedis;
  readonly dir: string;
  readonly tenants: string;
}

function configText({ redis, dir, tenants }: ConfigParts): string {
  return `version: 1
log: { driver: redis, url: "${redis.url}", path: ${JSON.stringify(join(dir, "data"))} }
http: { port: 0 }
ops: { port: 0 }
workers: { threads: 1 }
tenants:
${tenants}`;
}

/** A tenant whose events go nowhere, so many at a time and one batch after the other. */
export function tenantYaml(options: {
  readonly id: string;
  readonly sha256: string;
  readonly partitions?: number;
  readonly sink?: { readonly latencyMs: number; readonly batch: number; readonly inFlightMax?: number };
}): string {
  const { id, sha256, partitions = 1, sink } = options;
  const head = `  - id: ${id}
    partitions: ${partitions}
    keys: [{ id: bench, sha256: "${sha256}" }]
`;
  if (sink === undefined) return head;
  const inFlight = sink.inFlightMax === undefined ? "" : `in_flight_max: ${sink.inFlightMax}`;
  return `${head}    plugins:
      sinks:
        - name: ${EMPTY_SINK}
          id: empty
          isolation: none
          batch: { events_max: ${sink.batch} }
          ${inFlight}
          config: { latency_ms: ${sink.latencyMs} }
`;
}
