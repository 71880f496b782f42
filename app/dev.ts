import { randomBytes } from "node:crypto";
import { join, resolve } from "node:path";
import { loadConfig, parseConfig } from "../config/parse.ts";
import type { LoadedConfig, ParseResult } from "../config/parse.ts";
import { formatProblem } from "../config/problems.ts";
import { makeFolder } from "../drivers/embedded/index.ts";
import type { ProcessLogger } from "../observability/logger.ts";
import { createLogger } from "../observability/logger.ts";
import { PLUGINS } from "../plugins/registry.ts";
import type { Gateway } from "./gateway.ts";
import { openLog, runInstance } from "./instance.ts";
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
}

/** Stands for the database's address while a configuration is checked before there is a database. */
const ANY_DATABASE = "postgres://user:password@localhost:5432/pulsegate";

/** `pulsegate dev`: the whole product in one command, for one machine. Returns the exit code. */
export async function runDev(options: DevOptions): Promise<number> {
  const dataDir = resolve(options.data);
  const adminToken = randomBytes(32).toString("base64url");
  const load = (databaseUrl: string) => loadDev(options, { dataDir, adminToken, databaseUrl });
  const checked = load(options.databaseUrl ?? ANY_DATABASE);
  if (!checked.ok) return refuse(checked);
  const logger = createLogger({
    level: checked.config.settings.logging.level,
    destination: process.stderr,
    pretty: process.stderr.isTTY,
  });
  logger.addSecrets([adminToken]);
  try {
    makeFolder(dataDir);
    // The log comes first: with its folder's lock the rest of the data folder is ours as well.
    const opened = await openLog(checked.config, logger);
    const database = await openDatabase(options, dataDir, logger).catch(async (error: unknown) => {
      await opened.log.close();
      throw error;
    });
    try {
      logger.addSecrets([database.url]);
      const loaded = load(database.url);
      if (!loaded.ok) {
        await opened.log.close();
        return refuse(loaded);
      }
      return await runInstance({
        ...opened,
        config: loaded.config,
        reload: options.config === undefined ? undefined : { file: options.config, load: () => load(database.url) },
        logger,
        onReady: (gateway) => announce({ gateway, options, dataDir, adminToken, databaseUrl: database.url }),
      });
    } finally {
      await removeRuntimeFile(dataDir, process.pid);
      await database.stop();
    }
  } catch (error) {
    return reportFailure(error);
  }
}

interface DevPlace {
  readonly dataDir: string;
  readonly adminToken: string;
  readonly databaseUrl: string;
}

function loadDev(options: DevOptions, place: DevPlace): ParseResult {
  const base = {
    plugins: PLUGINS,
    env: process.env,
    mode: "dev",
    pluginDefaults: { postgres_sink: { url: place.databaseUrl } },
  } as const;
  const result =
    options.config === undefined
      ? parseConfig({ ...base, text: DEV_CONFIG, file: "pulsegate dev" })
      : loadConfig({ ...base, file: options.config });
  return result.ok ? { ok: true, config: atHome(result.config, options, place) } : result;
}

/** Dev decides where things are, whatever the file says: one data folder, the ports of the command line. */
function atHome(config: LoadedConfig, options: DevOptions, { dataDir, adminToken }: DevPlace): LoadedConfig {
  const settings = {
    ...config.settings,
    log: { ...config.settings.log, path: join(dataDir, "log") },
    http: { host: "127.0.0.1", port: options.port },
    ops: { host: "127.0.0.1", port: options.opsPort, adminToken },
  };
  // The demo key is no secret, and as a word it is also the demo tenant's name.
  return { ...config, settings, secrets: config.secrets.filter((secret) => secret !== DEMO_KEY) };
}

function refuse(result: ParseResult & { ok: false }): number {
  for (const problem of result.problems) console.error(formatProblem(problem));
  return 1;
}

interface Database {
  readonly url: string;
  stop(): Promise<void>;
}

async function openDatabase(options: DevOptions, dataDir: string, logger: ProcessLogger): Promise<Database> {
  if (options.databaseUrl !== undefined) return { url: options.databaseUrl, stop: async () => {} };
  return startEmbeddedPostgres({ dataDir: join(dataDir, "postgres"), logger });
}

interface Announcement extends DevPlace {
  readonly gateway: Gateway;
  readonly options: DevOptions;
}

async function announce({ gateway, options, dataDir, adminToken, databaseUrl }: Announcement): Promise<void> {
  const demo = options.config === undefined;
  const { dataUrl, opsUrl } = gateway;
  const key = demo ? DEMO_KEY : undefined;
  await writeRuntimeFile(dataDir, { pid: process.pid, dataUrl, opsUrl, adminToken, databaseUrl, key });
  console.log(banner({ dataUrl, opsUrl, dataDir: options.data, embedded: options.databaseUrl === undefined, demo }));
}
