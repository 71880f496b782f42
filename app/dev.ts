import { randomBytes } from "node:crypto";
import { join, resolve } from "node:path";
import { loadConfig, loadText } from "../config/parse.ts";
import type { LoadedConfig, ParseResult } from "../config/parse.ts";
import type { AdminToken } from "../config/revision.ts";
import { hashApiKey } from "../core/ingestion/admit.ts";
import { formatProblem } from "../config/problems.ts";
import { lockFolder, makeFolder } from "../drivers/embedded/index.ts";
import type { ProcessLogger } from "../observability/logger.ts";
import { createLogger } from "../observability/logger.ts";
import { systemClock } from "../observability/system-clock.ts";
import { PLUGINS } from "../plugins/registry.ts";
import { parseTarget } from "../plugins/sink/postgres_sink/target.ts";
import type { Gateway } from "./gateway.ts";
import { openLog, startInstance } from "./instance.ts";
import { runLifecycle } from "./lifecycle.ts";
import type { Life } from "./lifecycle.ts";
import { DEV_BROKERS, pluginDefaults } from "./plugin-defaults.ts";
import { removeRuntimeFile, writeRuntimeFile } from "./runtime-file.ts";
import { reportFailure } from "./start.ts";
import { banner } from "./dev/banner.ts";
import { DEMO_KEY, DEV_CONFIG } from "./dev/default-config.ts";
import { startEmbeddedPostgres } from "./dev/embedded-postgres.ts";

export interface DevOptions {
  /** Absent: the demo tenant into the dev database. */
  readonly config?: string | undefined;
  readonly data: string;
  readonly port: number;
  readonly opsPort: number;
  /** Absent: an embedded PostgreSQL in the data folder. */
  readonly databaseUrl?: string | undefined;
  /** Of Redis; absent: what the file says, which is an embedded log unless told otherwise. */
  readonly log?: string | undefined;
}

/** Stands for the database's address while a configuration is checked before there is a database. */
const ANY_DATABASE = "postgres://user:password@localhost:5432/pulsegate";

const WRONG_USAGE = 2;

/** `pulsegate dev`: the whole product in one command, for one machine. Returns the exit code. */
export async function runDev(options: DevOptions): Promise<number> {
  const wrongUrl = options.databaseUrl === undefined ? undefined : faultOf(options.databaseUrl);
  if (wrongUrl !== undefined) {
    console.error(`PulseGate did not start: --database-url is ${wrongUrl}.\nNext: give it as ${ANY_DATABASE}.`);
    return WRONG_USAGE;
  }
  const dataDir = resolve(options.data);
  const adminToken = randomBytes(32).toString("base64url");
  const load = (databaseUrl: string, text?: string) => loadDev(options, { dataDir, adminToken, databaseUrl }, text);
  const checked = await load(options.databaseUrl ?? ANY_DATABASE);
  if (!checked.ok) return refuse(checked);
  const logger = createLogger({
    level: checked.config.settings.logging.level,
    destination: process.stderr,
    pretty: process.stderr.isTTY,
  });
  logger.addSecrets([adminToken]);
  if (usesDevBrokers(checked.config)) {
    const what = `kafka_sink has no brokers in the file and KAFKA_BROKERS is not set: ${DEV_BROKERS} is tried; until it answers, events for Kafka wait`;
    logger.warn({ brokers: DEV_BROKERS }, what);
  }
  const { shutdownGraceMs: graceMs } = checked.config.settings;
  const reloads = options.config !== undefined;
  try {
    return await runLifecycle({ graceMs, reloads, clock: systemClock, logger }, (life) =>
      startDev({ ...life, options, dataDir, adminToken, logger, config: checked.config, load }),
    );
  } catch (error) {
    return error instanceof ConfigRefused ? refuse(error.result) : reportFailure(error);
  }
}

/** What only shows once the database's address is known. */
class ConfigRefused extends Error {
  readonly result: ParseResult & { ok: false };

  constructor(result: ParseResult & { ok: false }) {
    super("the configuration is refused");
    this.result = result;
  }
}

interface DevStart extends Life {
  readonly options: DevOptions;
  readonly dataDir: string;
  readonly adminToken: string;
  readonly logger: ProcessLogger;
  /** As far as it is known before there is a database. */
  readonly config: LoadedConfig;
  /** The file, or a text in its place. */
  readonly load: (databaseUrl: string, text?: string) => Promise<ParseResult>;
}

async function startDev(start: DevStart): Promise<Gateway> {
  const { teardown, asked, options, dataDir, adminToken, logger, load } = start;
  makeFolder(dataDir);
  const { redis, path } = start.config.settings.log;
  if (redis !== undefined) {
    // What is not in the log still is in this folder: the runtime file, the database.
    makeFolder(path);
    const lock = await lockFolder(path);
    teardown.add({ name: "the data folder", share: 0.01, stop: () => lock.release() });
  }
  // The log comes first: with its folder's lock the rest of the data folder is ours as well.
  const opened = await openLog({ config: start.config, role: "all", logger, teardown });
  asked.throwIfAborted();
  const databaseUrl = await openDatabase(start);
  asked.throwIfAborted();
  logger.addSecrets([databaseUrl]);
  const loaded = await load(databaseUrl);
  if (!loaded.ok) throw new ConfigRefused(loaded);
  const reload = options.config === undefined ? undefined : { file: options.config, load: () => load(databaseUrl) };
  const parse = (text: string): Promise<ParseResult> => load(databaseUrl, text);
  const gateway = await startInstance({
    ...opened,
    config: loaded.config,
    role: "all",
    reload,
    parse,
    logger,
    teardown,
  });
  teardown.add({ name: "runtime.json", share: 0.01, stop: () => removeRuntimeFile(dataDir, process.pid) });
  await announce({ gateway, options, dataDir, adminToken, databaseUrl, inRedis: redis !== undefined });
  return gateway;
}

/** Never with the URL in it: it may hold a password. */
function faultOf(databaseUrl: string): string | undefined {
  try {
    parseTarget(databaseUrl);
    return undefined;
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}

interface DevPlace {
  readonly dataDir: string;
  readonly adminToken: string;
  readonly databaseUrl: string;
}

/** The file, or a text in its place. */
async function loadDev(options: DevOptions, place: DevPlace, text?: string): Promise<ParseResult> {
  const base = {
    plugins: PLUGINS,
    env: process.env,
    mode: "dev",
    pluginDefaults: pluginDefaults({ env: process.env, devDatabaseUrl: place.databaseUrl }),
  } as const;
  const result =
    options.config === undefined || text !== undefined
      ? await loadText({ ...base, text: text ?? DEV_CONFIG, file: options.config ?? "pulsegate dev" })
      : await loadConfig({ ...base, file: options.config });
  return result.ok ? { ok: true, config: atHome(result.config, options, place) } : result;
}

/** Dev decides where things are, whatever the file says: one data folder, the ports of the command line. */
function atHome(config: LoadedConfig, options: DevOptions, { dataDir, adminToken }: DevPlace): LoadedConfig {
  const own: AdminToken = { id: "dev", role: "admin", sha256: hashApiKey(adminToken) };
  const settings = {
    ...config.settings,
    log: { ...config.settings.log, path: join(dataDir, "log"), ...redisAt(options.log, config) },
    http: { ...config.settings.http, host: "127.0.0.1", port: options.port },
    ops: { host: "127.0.0.1", port: options.opsPort, tokens: [own, ...config.settings.ops.tokens] },
  };
  // The demo key is no secret, and as a word it is also the demo tenant's name.
  return { ...config, settings, secrets: config.secrets.filter((secret) => secret !== DEMO_KEY) };
}

function redisAt(url: string | undefined, { settings }: LoadedConfig): Partial<LoadedConfig["settings"]["log"]> {
  if (url === undefined) return {};
  const defaults = { prefix: "pg", durability: "strict", replicas: 0, compression: "none", leaseMs: 10_000 } as const;
  return { driver: "redis", redis: { ...defaults, ...settings.log.redis, connection: { url } } };
}

function usesDevBrokers({ draft }: LoadedConfig): boolean {
  if (process.env["KAFKA_BROKERS"]) return false;
  const uses = draft.tenants.flatMap(({ sinks }) => sinks.filter(({ name }) => name === "kafka_sink"));
  return uses.some(({ config }) => (config as { brokers?: unknown }).brokers === DEV_BROKERS);
}

function refuse(result: ParseResult & { ok: false }): number {
  for (const problem of result.problems) console.error(formatProblem(problem));
  return 1;
}

/** The URL of the database that sinks write to unless told otherwise. */
async function openDatabase({ options, dataDir, logger, teardown, asked }: DevStart): Promise<string> {
  if (options.databaseUrl !== undefined) return options.databaseUrl;
  const server = await startEmbeddedPostgres({ dataDir: join(dataDir, "postgres"), logger, signal: asked });
  teardown.add({ name: "the embedded PostgreSQL", share: 0.12, stop: (deadlineMs) => server.stop(deadlineMs) });
  return server.url;
}

interface Announcement extends DevPlace {
  readonly gateway: Gateway;
  readonly options: DevOptions;
  /** Whether the log is. */
  readonly inRedis: boolean;
}

async function announce({ gateway, options, dataDir, adminToken, databaseUrl, inRedis }: Announcement): Promise<void> {
  const demo = options.config === undefined;
  const { dataUrl, opsUrl } = gateway;
  if (dataUrl === undefined) throw new Error("the role all takes events");
  const key = demo ? DEMO_KEY : undefined;
  await writeRuntimeFile(dataDir, { pid: process.pid, dataUrl, opsUrl, adminToken, databaseUrl, key });
  const places = { dataDir: options.data, embedded: options.databaseUrl === undefined, inRedis };
  console.log(banner({ dataUrl, opsUrl, ...places, demo }));
}
