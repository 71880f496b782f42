/**
 * postgres_sink alone against `\copy` into the same table, in turn in one run: from canonical bytes to
 * committed rows, table emptied before each. COPY does not look for duplicates; the sink does.
 *
 *     node bench/postgres-sink.ts [--json] [--out FILE] [--rounds 5] [--rows 50000] [--batch 1000]
 */
import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { createReadStream, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pipeline } from "node:stream/promises";
import { setTimeout as sleep } from "node:timers/promises";
import { parseArgs } from "node:util";
import pg from "pg";
import { from as copyFrom } from "pg-copy-streams";
import { startEmbeddedPostgres } from "../app/dev/embedded-postgres.ts";
import { decodeEvent, encodeParts, payloadOf, stampReceivedAt } from "../core/canonical/codec.ts";
import type { PluginContext, SinkPlugin } from "../plugins/contract.ts";
import plugin from "../plugins/sink/postgres_sink/index.ts";
import { eventJson } from "./lib/events.ts";
import { treeCpuSeconds } from "./lib/process.ts";
import { round, spread } from "./lib/stats.ts";

const QUIET = { debug() {}, info() {}, warn() {}, error() {} };
const PAYLOAD_BYTES = [250, 1024];
const IN_FLIGHT = [1, 2];

interface Settings {
  readonly rounds: number;
  readonly rows: number;
  readonly batch: number;
}

interface Sample {
  readonly rowsPerSecond: number;
  readonly serverCpuMicros: number;
  readonly clientCpuMicros: number;
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      json: { type: "boolean", default: false },
      out: { type: "string" },
      rounds: { type: "string", default: "5" },
      rows: { type: "string", default: "50000" },
      batch: { type: "string", default: "1000" },
    },
  });
  const settings = { rounds: Number(values.rounds), rows: Number(values.rows), batch: Number(values.batch) };
  const report = await measure(settings);
  const text = `${JSON.stringify(report, null, 2)}\n`;
  if (values.out !== undefined) writeFileSync(values.out, text);
  if (values.json || values.out === undefined) process.stdout.write(text);
}

async function measure(settings: Settings): Promise<unknown> {
  const folder = mkdtempSync(join(tmpdir(), "pulsegate-bench-sink-"));
  const server = await startEmbeddedPostgres({ dataDir: join(folder, "postgres"), logger: QUIET });
  const client = new pg.Client({ connectionString: server.url });
  await client.connect();
  const sink = plugin.create();
  await sink.init?.(plugin.config.parse({ url: server.url }));
  try {
    const results: Record<string, unknown> = {};
    for (const bytes of PAYLOAD_BYTES)
      results[`payload_${bytes}`] = await compare({ ...settings, bytes, folder, server, client, sink });
    const [version] = (await client.query<{ v: string }>("SELECT version() AS v")).rows;
    return {
      reference: psqlVersion() ?? "COPY by pg-copy-streams",
      server: version?.v,
      durability: "synchronous_commit on, fsync on",
      ...settings,
      results,
    };
  } finally {
    await sink.close?.();
    await client.end();
    await server.stop();
    rmSync(folder, { recursive: true, force: true });
  }
}

interface Bench extends Settings {
  readonly bytes: number;
  readonly folder: string;
  readonly server: { readonly url: string };
  readonly client: pg.Client;
  readonly sink: SinkPlugin;
}

async function compare(bench: Bench): Promise<unknown> {
  const postmaster = Number.parseInt(readFileSync(join(bench.folder, "postgres/data/postmaster.pid"), "utf8"), 10);
  const events = Array.from({ length: bench.rows }, (_, n) => canonicalBytes(n, bench.bytes));
  const file = join(bench.folder, "rows.tsv");
  writeFileSync(file, events.map(copyLine).join(""));
  const runs: Record<string, () => Promise<unknown>> = { copy: () => copy(bench, file) };
  for (const inFlight of IN_FLIGHT) runs[`sink_${inFlight}`] = () => deliver(bench, events, inFlight);
  const samples: Record<string, Sample[]> = {};
  // The first round warms up: it makes the table and prepares the statements.
  for (let turn = 0; turn <= bench.rounds; turn++) {
    for (const [name, run] of Object.entries(runs)) {
      const sample = await timed(bench, postmaster, run);
      if (turn > 0) (samples[name] ??= []).push(sample);
    }
  }
  return summary(samples);
}

async function timed({ client, rows, sink }: Bench, postmaster: number, run: () => Promise<unknown>): Promise<Sample> {
  await sink.send(decodeEvent(canonicalBytes(-1, 100)), context());
  await client.query("TRUNCATE events_raw");
  await client.query("CHECKPOINT");
  const serverBefore = serverCpuSeconds(postmaster);
  const clientBefore = process.cpuUsage();
  const startedAt = performance.now();
  await run();
  const seconds = (performance.now() - startedAt) / 1_000;
  await sessionsEnded(client);
  const { user, system } = process.cpuUsage(clientBefore);
  const server = serverCpuSeconds(postmaster) - serverBefore;
  const found = await client.query<{ n: number }>("SELECT count(*)::int AS n FROM events_raw");
  if (found.rows[0]?.n !== rows) throw new Error(`${found.rows[0]?.n} rows instead of ${rows}`);
  return {
    rowsPerSecond: rows / seconds,
    serverCpuMicros: (server * 1e6) / rows,
    clientCpuMicros: (user + system) / rows,
  };
}

/** A session's CPU time is its parent's to report only once it has been buried. */
async function sessionsEnded(client: pg.Client): Promise<void> {
  const sql = "SELECT count(*)::int AS n FROM pg_stat_activity WHERE application_name = 'psql'";
  while ((await client.query<{ n: number }>(sql)).rows[0]?.n !== 0) await sleep(5);
  await sleep(50);
}

/** Its live processes and those that it has buried: psql's backend ends with psql. */
function serverCpuSeconds(postmaster: number): number {
  const stat = readFileSync(`/proc/${postmaster}/stat`, "latin1");
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  return treeCpuSeconds(postmaster) + (Number(fields[13]) + Number(fields[14])) / 100;
}

async function copy({ server, client }: Bench, file: string): Promise<void> {
  const columns =
    "tenant_id, event_id, event_type, occurred_at, received_at, source, trace_id, idempotency_key, payload";
  if (psqlVersion() === undefined) {
    await pipeline(createReadStream(file), client.query(copyFrom(`COPY events_raw (${columns}) FROM STDIN`)));
    return;
  }
  const child = spawn(
    "psql",
    ["-X", "-q", "-v", "ON_ERROR_STOP=1", "-d", server.url, "-c", `\\copy events_raw (${columns}) FROM '${file}'`],
    { stdio: "inherit" },
  );
  const [code] = await once(child, "exit");
  if (code !== 0) throw new Error(`psql ended with ${code}`);
}

async function deliver({ sink, batch }: Bench, events: readonly Buffer[], inFlight: number): Promise<void> {
  let next = 0;
  const lane = async () => {
    while (next < events.length) {
      const slice = events.slice(next, (next += batch));
      const outcomes = (await sink.sendBatch?.(slice.map(decodeEvent), context())) ?? [];
      const failed = outcomes.find((outcome) => outcome.type !== "ok");
      if (failed !== undefined) throw new Error(JSON.stringify(failed));
    }
  };
  await Promise.all(Array.from({ length: inFlight }, lane));
}

function context(): PluginContext {
  const signal = new AbortController().signal;
  return { tenantId: "bench", logger: QUIET, metrics: { count() {}, observe() {} }, attempt: 1, signal };
}

function canonicalBytes(n: number, bytes: number): Buffer {
  const event = encodeParts({
    // Random ids, as clients send them: keys that rise would spare the index.
    eventId: crypto.randomUUID(),
    tenantId: "bench",
    eventType: "order_paid",
    source: "http",
    traceId: "0af7651916cd43dd8448eb211c80319c",
    payload: Buffer.from(eventJson(bytes, n)),
  });
  stampReceivedAt(event, Date.now());
  return event;
}

function copyLine(bytes: Buffer): string {
  const event = decodeEvent(bytes);
  const payload = payloadOf(bytes).toString().replaceAll("\\", "\\\\");
  const { tenant_id, event_id, event_type, occurred_at, received_at, source, trace_id } = event;
  return `${[tenant_id, event_id, event_type, occurred_at, received_at, source, trace_id, "\\N", payload].join("\t")}\n`;
}

let psql: string | undefined | null = null;

function psqlVersion(): string | undefined {
  if (psql === null) {
    const run = spawnSync("psql", ["--version"], { encoding: "utf8" });
    psql = run.status === 0 ? `${run.stdout.trim()}, \\copy` : undefined;
  }
  return psql;
}

function summary(samples: Record<string, Sample[]>): unknown {
  const figures = Object.entries(samples).map(([name, runs]) => [
    name,
    {
      rowsPerSecond: rounded(spread(runs.map((run) => run.rowsPerSecond))),
      serverCpuMicrosPerRow: round(spread(runs.map((run) => run.serverCpuMicros)).median),
      // psql is another process: its own time is not counted here.
      ...(name === "copy"
        ? {}
        : { clientCpuMicrosPerRow: round(spread(runs.map((run) => run.clientCpuMicros)).median) }),
    },
  ]);
  const copies = samples["copy"] ?? [];
  const ratios = IN_FLIGHT.map((n) => {
    const runs = samples[`sink_${n}`] ?? [];
    return [
      `sink_${n}`,
      rounded(spread(runs.map((run, i) => run.rowsPerSecond / (copies[i]?.rowsPerSecond ?? Number.NaN)))),
    ];
  });
  return { ...Object.fromEntries(figures), ratioToCopy: Object.fromEntries(ratios) };
}

function rounded({ median, min, max }: { median: number; min: number; max: number }): unknown {
  return { median: round(median), min: round(min), max: round(max) };
}

await main();
