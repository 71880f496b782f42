import { createHash } from "node:crypto";
import { readFile } from "node:fs/promises";
import {
  BatchRejected,
  type CanonicalEvent,
  definePlugin,
  type PluginContext,
  type SinkOutcome,
  type SinkPlugin,
} from "../../contract.ts";
import type { PoolClient } from "pg";
import { columnsOf } from "./columns.ts";
import { type Config, config } from "./config.ts";
import { type Connections, openConnections } from "./connections.ts";
import { type Failure, failureOf } from "./failure.ts";
import { createTable, inspectTable, insertStatement, TableProblem, type TableOptions } from "./table.ts";
import { poolConfigOf } from "./target.ts";

const NAME = "postgres_sink";
const VERSION = "1.0.0";
/** The server's own deadline comes first; beyond it we stop believing in an answer. */
const ANSWER_GRACE_MS = 1_000;

export default definePlugin({
  kind: "sink",
  name: NAME,
  version: VERSION,
  summary: "Writes events into a PostgreSQL table, one row for each event, duplicates once",
  config,
  create: () => new PostgresSink(),
});

class PostgresSink implements SinkPlugin {
  readonly name = NAME;
  readonly version = VERSION;
  /** One statement for each batch: all of it or nothing. */
  readonly keepsOrder = true;
  #config!: Config;
  #table!: TableOptions;
  #insert!: { readonly name: string; readonly text: string };
  #connections!: Connections;
  #ready: Promise<void> | undefined;
  #idleErrors = 0;
  readonly #running = new Set<Promise<unknown>>();

  /** Opens no connection: a database that is down at the start is an outage like any other. */
  async init(options: unknown): Promise<void> {
    this.#config = options as Config;
    const { tls, table, payload_column: payloadType } = this.#config;
    const ca = tls?.ca_file === undefined ? tls?.ca : await readFile(tls.ca_file, "utf8");
    this.#table = { table, payloadType };
    const text = insertStatement(this.#table);
    // Prepared once per connection, which sinks with other tables may share; names hold 63 bytes.
    this.#insert = { name: `pulsegate_${createHash("sha256").update(text).digest("hex").slice(0, 32)}`, text };
    const settings = poolConfigOf({ ...this.#config, tls: tls === undefined ? undefined : { ...tls, ca } });
    this.#connections = openConnections(settings, () => {
      this.#idleErrors += 1;
    });
  }

  async send(event: CanonicalEvent, ctx: PluginContext): Promise<SinkOutcome> {
    const [outcome] = await this.sendBatch([event], ctx);
    return outcome as SinkOutcome;
  }

  async sendBatch(events: readonly CanonicalEvent[], ctx: PluginContext): Promise<readonly SinkOutcome[]> {
    if (events.length === 0) return [];
    const delivery = this.#deliver(events, ctx);
    this.#running.add(delivery);
    try {
      return await delivery;
    } finally {
      this.#running.delete(delivery);
    }
  }

  async #deliver(events: readonly CanonicalEvent[], ctx: PluginContext): Promise<readonly SinkOutcome[]> {
    const columns = columnsOf(events);
    try {
      const inserted = await this.#write(columns, this.#deadline(ctx.signal));
      ctx.metrics.count("rows_total", inserted);
      ctx.metrics.count("duplicate_rows_total", events.length - inserted);
      return events.map(() => OK);
    } catch (error) {
      return outcomesOf(failureOf(error), events.length, error);
    } finally {
      if (this.#idleErrors > 0) ctx.metrics.count("idle_connections_lost_total", this.#idleErrors);
      this.#idleErrors = 0;
    }
  }

  /**
   * A deadline of our own before the caller's: a server that is frozen is an outage, and only we can
   * say so in time; a call that passes the caller's deadline counts as a try of its events.
   */
  #deadline(signal: AbortSignal): AbortSignal {
    const { connect_timeout_ms, statement_timeout_ms } = this.#config;
    return AbortSignal.any([signal, AbortSignal.timeout(connect_timeout_ms + statement_timeout_ms + ANSWER_GRACE_MS)]);
  }

  /** The number of rows that were new. */
  async #write(columns: Buffer[], signal: AbortSignal): Promise<number> {
    try {
      await this.#ensureTable(signal);
      return await this.#insertRows(columns, signal);
    } catch (error) {
      const { kind, code } = failureOf(error);
      // The table is not what it was: look again, so that a repair is noticed.
      if (kind === "permanent") this.#ready = undefined;
      if (code !== UNDEFINED_TABLE || error instanceof TableProblem || !this.#config.create_table) throw error;
      await this.#ensureTable(signal);
      return await this.#insertRows(columns, signal);
    }
  }

  async #insertRows(values: Buffer[], signal: AbortSignal): Promise<number> {
    const result = await this.#connections.use(signal, (client) => client.query({ ...this.#insert, values }));
    return result.rowCount ?? 0;
  }

  #ensureTable(signal: AbortSignal): Promise<void> {
    this.#ready ??= this.#prepareTable(signal).catch((error: unknown) => {
      this.#ready = undefined;
      throw error;
    });
    return this.#ready;
  }

  async #prepareTable(signal: AbortSignal): Promise<void> {
    await this.#connections.use(signal, async (client) => {
      if (await this.#hasTable(client)) return;
      await createTable((query) => client.query(query), this.#table);
      await this.#hasTable(client);
    });
  }

  /** Connects and compares the table, if there is one, with what is needed. */
  async check(signal: AbortSignal): Promise<void> {
    await this.#connections.use(this.#deadline(signal), (client) => this.#hasTable(client));
  }

  /** False: it is missing and may be created. */
  async #hasTable(client: PoolClient): Promise<boolean> {
    if (await inspectTable((query) => client.query(query), this.#table)) return true;
    if (this.#config.create_table) return false;
    throw new TableProblem(UNDEFINED_TABLE, `table ${this.#table.table} does not exist, and create_table is false`);
  }

  /** Waits for what is being delivered; bounded, because each delivery is. */
  async close(): Promise<void> {
    await Promise.allSettled(this.#running);
    await this.#connections?.close();
  }
}

const UNDEFINED_TABLE = "42P01";
const OK: SinkOutcome = { type: "ok" };

function outcomesOf(failure: Failure, events: number, cause: unknown): readonly SinkOutcome[] {
  const { kind, code, reason, unavailable } = failure;
  if (kind === "row" && events > 1) throw new BatchRejected(code, reason, { cause });
  const outcome: SinkOutcome =
    kind === "retry" ? { type: "retry", code, reason, unavailable } : { type: "error", code, reason };
  return new Array<SinkOutcome>(events).fill(outcome);
}
