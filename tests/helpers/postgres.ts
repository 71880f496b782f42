import { chmod, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import pg from "pg";
import { startEmbeddedPostgres } from "../../app/dev/embedded-postgres.ts";
import type { Logger } from "../../core/environment.ts";

export interface TestPostgres {
  /** Superuser URL of the database `pulsegate`. */
  readonly url: string;
  readonly port: number;
  /** The cluster's files; `postmaster.pid` in it names the server process, for tests that stop or kill it. */
  readonly dataDir: string;
  /** A fresh, empty database; its URL. */
  createDatabase(name: string): Promise<string>;
  /** Runs one statement as superuser, in the database of `url` (default: `pulsegate`). */
  query<R extends pg.QueryResultRow = pg.QueryResultRow>(sql: string, values?: unknown[], url?: string): Promise<R[]>;
  /** Stops the server and removes its files. */
  stop(): Promise<void>;
}

const silent: Logger = { debug() {}, info() {}, warn() {}, error() {} };

/**
 * A real server on a free port in a temporary folder: start one in `beforeAll`, stop it in `afterAll`.
 * When the test process dies without that, the server stops by itself.
 */
export async function startTestPostgres(
  options: { logger?: Logger; settings?: Readonly<Record<string, string>> } = {},
): Promise<TestPostgres> {
  const folder = await mkdtemp(join(tmpdir(), "pulsegate-postgres-"));
  // Root's temporary folders are closed to the user that the server runs as.
  await chmod(folder, 0o711);
  const dataDir = join(folder, "postgres");
  // These tests kill servers, not machines: what is written survives without a sync.
  const settings = { fsync: "off", ...options.settings };
  const server = await startEmbeddedPostgres({ dataDir, logger: options.logger ?? silent, settings }).catch(
    async (error) => {
      await rm(folder, { recursive: true, force: true });
      throw error;
    },
  );
  const query = <R extends pg.QueryResultRow>(sql: string, values: unknown[] = [], url = server.url) =>
    runQuery<R>(url, sql, values);
  return {
    url: server.url,
    port: server.port,
    dataDir: join(dataDir, "data"),
    query,
    async createDatabase(name) {
      await query(`CREATE DATABASE ${pg.escapeIdentifier(name)}`);
      const url = new URL(server.url);
      url.pathname = `/${name}`;
      return url.href;
    },
    async stop() {
      await server.stop();
      await rm(folder, { recursive: true, force: true });
    },
  };
}

async function runQuery<R extends pg.QueryResultRow>(url: string, sql: string, values: unknown[]): Promise<R[]> {
  const client = new pg.Client({ connectionString: url });
  client.on("error", () => {});
  await client.connect();
  try {
    return (await client.query<R>(sql, values)).rows;
  } finally {
    await client.end();
  }
}
