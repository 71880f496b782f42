import { readFile, writeFile } from "node:fs/promises";
import { join, resolve } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { parse } from "yaml";
import { pulsegate, spawnPulsegate } from "../helpers/cli.ts";
import { type RoleProcess, roleOf } from "../helpers/cluster.ts";
import { startTestPostgres } from "../helpers/postgres.ts";
import { startTestRedis } from "../helpers/redis.ts";
import { tempDir } from "../helpers/temp-dir.ts";
import { until } from "../helpers/until.ts";

const ROOT = resolve(import.meta.dirname, "../..");
const CONFIG = "/etc/pulsegate/pulsegate.yaml";

interface Service {
  readonly command: readonly string[];
  readonly environment: Readonly<Record<string, string>>;
  readonly volumes?: readonly string[];
  readonly deploy?: { readonly replicas: number };
}

/**
 * Runs compose.yaml without containers: each service's own command with its own environment; names of hosts are
 * 127.0.0.1, ports are free ones, and what is mounted is a copy.
 */
async function composeUp() {
  const { services } = parse(await readFile(join(ROOT, "compose.yaml"), "utf8"), { merge: true }) as {
    services: Record<string, Service>;
  };
  const redisUrl = `${await startRedis((services["redis"] as Service).command)}/0`;
  const postgres = await startTestPostgres();
  onTestFinished(() => postgres.stop());
  const hosts: Readonly<Record<string, string>> = { REDIS_URL: redisUrl, DATABASE_URL: postgres.url };
  const start = async (name: string): Promise<RoleProcess> => {
    const { command, environment, volumes = [] } = services[name] as Service;
    const mounted = volumes.find((volume) => volume.includes(`:${CONFIG}:`))?.split(":")[0] as string;
    const config = await localConfig(join(ROOT, mounted));
    const args = command.map((word) => (word === CONFIG ? config : word));
    const env = Object.fromEntries(
      Object.entries(environment).map(([key, value]) => [key, hosts[key] ?? withDefaults(value)]),
    );
    return roleOf(spawnPulsegate(args, { env }));
  };
  const replicas = services["worker"]?.deploy?.replicas ?? 1;
  const [api, admin, ...workers] = await Promise.all([
    start("api"),
    start("admin"),
    ...Array.from({ length: replicas }, () => start("worker")),
  ]);
  const token = withDefaults((services["admin"] as Service).environment["PULSEGATE_ADMIN_TOKEN"] ?? "");
  return { api, admin, workers, postgres, token };
}

/** As compose reads `${NAME:-default}`. */
function withDefaults(value: string): string {
  return value.replace(/\$\{\w+:-([^}]*)\}/g, "$1");
}

/** The file as it is mounted, on this machine: any free port, loopback alone, a data folder of its own. */
async function localConfig(file: string): Promise<string> {
  const dir = await tempDir();
  const text = await readFile(file, "utf8");
  const local = text
    .replaceAll("0.0.0.0", "127.0.0.1")
    .replaceAll(/port: 808[01]/g, "port: 0")
    .replace("/var/lib/pulsegate", join(dir, "data"));
  await writeFile(join(dir, "pulsegate.yaml"), local);
  return join(dir, "pulsegate.yaml");
}

/** The service's own settings over unsafe ones: what it does not set itself does not hold. */
const UNSAFE = ["--appendonly", "no", "--appendfsync", "everysec", "--maxmemory-policy", "allkeys-lru"];

async function startRedis([, ...args]: readonly string[]): Promise<string> {
  const redis = await startTestRedis({ args: [...UNSAFE, ...args] });
  onTestFinished(() => redis.stop());
  return redis.url;
}

test("what compose.yaml starts does the quick start: an event in, a row in PostgreSQL out", async () => {
  const { api, admin, workers, postgres, token } = await composeUp();
  expect(workers).toHaveLength(2);
  const response = await fetch(`${api.data}/v1/events`, {
    method: "POST",
    headers: { "X-API-Key": "demo", "Content-Type": "application/json" },
    body: '{"event_type": "user_sign_up", "user_id": "u_123", "ip": "8.8.8.8", "timestamp": "2025-03-01T12:00:00Z"}',
  });
  expect(response.status).toBe(202);
  const { event_id } = (await response.json()) as { event_id: string };
  const row = await until(async () => (await rows(postgres))[0], "the row");
  expect(row).toEqual({ event_id, event_type: "user_sign_up", payload: { user_id: "u_123", ip: "8.8.8.8" } });

  const env = { PULSEGATE_ADMIN_URL: admin.ops, PULSEGATE_ADMIN_TOKEN: token };
  const ledger = await until(async () => {
    const { stdout } = await pulsegate(["ledger"], { env });
    return / 1 +1 +0 +0 +0 +0$/m.test(stdout) ? stdout : undefined;
  }, "a ledger that balances");
  expect(ledger).toContain("postgres_sink");

  for (const { ops } of [api, admin, ...workers]) {
    expect((await fetch(`${ops}/readyz`)).status).toBe(200);
    expect(await (await fetch(`${ops}/metrics`)).text()).toContain("pulsegate_build_info");
  }
  for (const { running } of [api, admin, ...workers]) running.child.kill("SIGTERM");
  const codes = await Promise.all([api, admin, ...workers].map(async ({ running }) => (await running.finished).code));
  expect(codes).toEqual([0, 0, 0, 0]);
}, 240_000);

function rows(postgres: { query(sql: string): Promise<unknown[]> }): Promise<unknown[]> {
  return postgres.query("SELECT event_id, event_type, payload FROM events_raw").catch(() => []);
}
