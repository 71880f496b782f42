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
import { copyInto, copyStatement } from "./copy.ts";
import { CopyRows } from "./copy-rows.ts";
import { type Config, config } from "./config.ts";
import { type Connections, openConnections } from "./connections.ts";
import { type Failure, failureOf } from "./failure.ts";
import { createTable, inspectTable, insertStatement, TableProblem, type TableOptions } from "./table.ts";
import { poolConfigOf } from "./target.ts";

const NAME = "postgres_sink";
const VERSION = "1.0.0";
/** The server's own deadline comes first; beyond it we stop believing in an answer. */
const ANSWER_GRACE_MS = 1_000;
/** Where there was a duplicate there may be more, and a COPY that fails is wasted work. */
const INSERTS_AFTER_REFUSAL = 64;
/** After so many the table is looked at again. */
const COPIES_PER_LOOK = 100;
/** Buffers that grew beyond this are not kept. */
const ROWS_BYTES_MAX = 8 * 1024 * 1024;

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
  #copyText!: string;
  #insertStatement!: { readonly name: string; readonly text: string };
  #connections!: Connections;
  #ready: Promise<void> | undefined;
  #idleErrors = 0;
  #copies = 0;
  /** Deliveries that are not to try COPY. */
  #insertsLeft = 0;
  /** As many as deliveries were under way at one time. */
  readonly #idleRows: CopyRows[] = [];
  readonly #running = new Set<Promise<unknown>>();

  /** Opens no connection: a database that is down at the start is an outage like any other. */
  async init(options: unknown): Promise<void> {
    this.#config = options as Config;
    const { tls, table, payload_column: payloadType } = this.#config;
    const ca = tls?.ca_file === undefined ? tls?.ca : await readFile(tls.ca_file, "utf8");
    this.#table = { table, payloadType };
    this.#copyText = copyStatement(table);
    const text = insertStatement(this.#table);
    // Prepared once per connection, which sinks with other tables may share; names hold 63 bytes.
    this.#insertStatement = { name: `pulsegate_${createHash("sha256").update(text).digest("hex").slice(0, 32)}`, text };
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
    try {
      const inserted = await this.#write(events, ctx);
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
  async #write(events: readonly CanonicalEvent[], ctx: PluginContext): Promise<number> {
    const signal = this.#deadline(ctx.signal);
    return (await this.#copy(events, ctx, signal)) ?? (await this.#insert(columnsOf(events), signal));
  }

  /**
   * The cheaper way, which takes no duplicates: undefined where there may be some, or where COPY was refused
   * for whatever an insert may do all the same; then that is to be tried.
   */
  async #copy(
    events: readonly CanonicalEvent[],
    { attempt, replayId }: PluginContext,
    signal: AbortSignal,
  ): Promise<number | undefined> {
    if (attempt > 1 || replayId !== undefined) return undefined;
    if (this.#insertsLeft > 0) {
      this.#insertsLeft -= 1;
      return undefined;
    }
    const rows = this.#idleRows.pop() ?? new CopyRows();
    // It would not notice that the key is gone, which keeps duplicates out.
    if ((this.#copies += 1) % COPIES_PER_LOOK === 0) this.#ready = undefined;
    const messages = rows.write(events, this.#table.payloadType);
    let isFree = messages === undefined;
    try {
      if (messages === undefined) return undefined;
      await this.#ensureTable(signal);
      const copied = await this.#connections.use(signal, (client) => copyInto(client, this.#copyText, messages));
      isFree = true;
      return copied;
    } catch (error) {
      if (failureOf(error).kind === "retry") throw error;
      isFree = true;
      this.#insertsLeft = INSERTS_AFTER_REFUSAL;
      return undefined;
    } finally {
      // A connection that was cut may not have let go of the bytes yet.
      if (isFree && rows.size <= ROWS_BYTES_MAX) this.#idleRows.push(rows);
    }
  }

  async #insert(columns: Buffer[], signal: AbortSignal): Promise<number> {
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
    const statement = this.#insertStatement;
    const result = await this.#connections.use(signal, (client) => client.query({ ...statement, values }));
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
