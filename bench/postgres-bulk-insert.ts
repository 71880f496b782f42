/**
 * Ways to write a batch that ignores duplicates, on one connection, in turn in one run: the figures of
 * docs/decisions/0040-postgres-bulk-insert.md.
 *
 *     node bench/postgres-bulk-insert.ts [ROUNDS=5] [ROWS=30000] [BATCH=1000]
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import pg from "pg";
import { from as copyFrom } from "pg-copy-streams";
import { startEmbeddedPostgres } from "../app/dev/embedded-postgres.ts";
import { decodeEvent, encodeEvent, encodeParts, payloadJson, stampReceivedAt } from "../core/canonical/codec.ts";
import type { CanonicalEvent } from "../core/canonical/event.ts";
import { columnsOf, HEAD_COLUMNS } from "../plugins/sink/postgres_sink/columns.ts";
import { copyInto as copyMessages, copyStatement } from "../plugins/sink/postgres_sink/copy.ts";
import { CopyRows } from "../plugins/sink/postgres_sink/copy-rows.ts";
import { createTable, insertStatement } from "../plugins/sink/postgres_sink/table.ts";
import { eventJson } from "./lib/events.ts";
import { usage } from "./lib/process.ts";
import { median, round } from "./lib/stats.ts";

const [ROUNDS = 5, ROWS = 30_000, BATCH = 1_000] = process.argv.slice(2).map(Number);
const TABLE = { table: "events_raw", payloadType: "jsonb" } as const;
const COLUMNS = [...HEAD_COLUMNS, "payload"].join(", ");
const ON_CONFLICT = "ON CONFLICT (tenant_id, event_id) DO NOTHING";
const INSERT = insertStatement(TABLE);
const VALUES = [...HEAD_COLUMNS, "payload"].map((column) => `${column}::${typeOf(column)}`).join(", ");
const LISTS = [...HEAD_COLUMNS, "payload"].map((column, i) => `unnest($${i + 1}::text[]) AS ${column}`).join(", ");
const SELECT_LIST = `INSERT INTO events_raw (${COLUMNS}) SELECT ${VALUES} FROM (SELECT ${LISTS} OFFSET 0) AS event ${ON_CONFLICT}`;
const COPY = copyStatement(TABLE.table);
const ROWS_TO_COPY = new CopyRows();
const QUIET = { debug() {}, info() {}, warn() {}, error() {} };

type Way = (client: pg.Client, events: readonly CanonicalEvent[]) => Promise<void>;

const WAYS: Readonly<Record<string, Way>> = {
  "unnest, binary arrays": async (client, events) => {
    await client.query({ name: "binary", text: INSERT, values: columnsOf(events) });
  },
  "unnest in the select list": async (client, events) => {
    await client.query({ name: "list", text: SELECT_LIST, values: columnsOf(events) });
  },
  "unnest, without ON CONFLICT": async (client, events) => {
    await client.query({ name: "plain", text: INSERT.replace(ON_CONFLICT, ""), values: columnsOf(events) });
  },
  "COPY, binary": async (client, events) => {
    await copyMessages(client as pg.PoolClient, COPY, ROWS_TO_COPY.write(events, "jsonb") as Buffer);
  },
  "unnest, arrays as text": async (client, events) => {
    const heads = HEAD_COLUMNS.map((column) => events.map((event) => event[column] ?? null));
    const payloads = events.map((event) => payloadJson(event).toString("utf8"));
    await client.query({ name: "text", text: INSERT, values: [...heads, payloads] });
  },
  "json_to_recordset of the canonical bytes": async (client, events) => {
    const parts = events.flatMap((event, i) => [Buffer.from(i === 0 ? "[" : ","), encodeEvent(event)]);
    const types = [...HEAD_COLUMNS, "payload"].map((name) => `${name} ${typeOf(name)}`).join(", ");
    const text = `INSERT INTO events_raw (${COLUMNS}) SELECT ${COLUMNS} FROM json_to_recordset($1::json) AS event (${types}) ${ON_CONFLICT}`;
    await client.query({ name: "recordset", text, values: [Buffer.concat([...parts, Buffer.from("]")])] });
  },
  "COPY into a temporary table, then INSERT": async (client, events) => {
    await client.query("BEGIN");
    await client.query("CREATE TEMP TABLE IF NOT EXISTS incoming (LIKE events_raw)");
    await client.query("TRUNCATE incoming");
    await copyInto(client, "incoming", events);
    await client.query(`INSERT INTO events_raw (${COLUMNS}) SELECT ${COLUMNS} FROM incoming ${ON_CONFLICT}`);
    await client.query("COMMIT");
  },
  "COPY (no answer to duplicates: a floor)": (client, events) => copyInto(client, "events_raw", events),
};

function typeOf(column: string): string {
  if (column.endsWith("_at")) return "timestamptz";
  return column === "payload" ? "jsonb" : "text";
}

async function copyInto(client: pg.Client, table: string, events: readonly CanonicalEvent[]): Promise<void> {
  const stream = client.query(copyFrom(`COPY ${table} (${COLUMNS}) FROM STDIN`));
  const lines = events.map((event) => {
    const heads = HEAD_COLUMNS.map((column) => event[column] ?? "\\N");
    return `${[...heads, payloadJson(event).toString("utf8").replaceAll("\\", "\\\\")].join("\t")}\n`;
  });
  await new Promise<void>((done, failed) => {
    stream.on("finish", done);
    stream.on("error", failed);
    stream.end(lines.join(""));
  });
}

async function main(): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), "pulsegate-bench-bulk-"));
  const server = await startEmbeddedPostgres({ dataDir: join(folder, "postgres"), logger: QUIET });
  const client = new pg.Client({ connectionString: server.url });
  try {
    await client.connect();
    await createTable((query) => client.query(query), TABLE);
    for (const bytes of [250, 1024]) await compare(client, bytes);
  } finally {
    await client.end();
    await server.stop();
    rmSync(folder, { recursive: true, force: true });
  }
}

async function compare(client: pg.Client, bytes: number): Promise<void> {
  const backend = (await client.query<{ pid: number }>("SELECT pg_backend_pid() AS pid")).rows[0]?.pid ?? 0;
  const samples: Record<string, number[][]> = {};
  for (let turn = 0; turn <= ROUNDS; turn++) {
    for (const [name, way] of Object.entries(WAYS)) {
      await client.query("TRUNCATE events_raw");
      await client.query("CHECKPOINT");
      const batches = Array.from({ length: ROWS / BATCH }, () => Array.from({ length: BATCH }, () => bytesOf(bytes)));
      const before = { at: performance.now(), node: process.cpuUsage(), backend: usage(backend).cpuSeconds };
      for (const batch of batches) await way(client, batch.map(decodeEvent));
      const seconds = (performance.now() - before.at) / 1_000;
      const node = process.cpuUsage(before.node);
      const figures = [
        ROWS / seconds,
        (node.user + node.system) / ROWS,
        ((usage(backend).cpuSeconds - before.backend) * 1e6) / ROWS,
      ];
      // The first turn warms up.
      if (turn > 0) (samples[name] ??= []).push(figures);
    }
  }
  console.log(`\n${bytes} B payload, batches of ${BATCH}, medians of ${ROUNDS}`);
  console.log("| way | rows/s | Node µs/row | backend µs/row |\n|---|---|---|---|");
  for (const [name, runs] of Object.entries(samples)) {
    const [rate, node, server] = [0, 1, 2].map((i) => round(median(runs.map((run) => run[i] ?? Number.NaN))));
    console.log(`| ${name} | ${rate} | ${node} | ${server} |`);
  }
}

let made = 0;

function bytesOf(payloadBytes: number): Buffer {
  const event = encodeParts({
    eventId: crypto.randomUUID(),
    tenantId: "bench",
    eventType: "order_paid",
    source: "http",
    traceId: "0af7651916cd43dd8448eb211c80319c",
    payload: Buffer.from(eventJson(payloadBytes, (made += 1))),
  });
  stampReceivedAt(event, Date.now());
  return event;
}

await main();
