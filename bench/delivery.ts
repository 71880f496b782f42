/**
 * The main job, whole: POST → durable log → lane → row in PostgreSQL, with the server, the database and
 * the generator on one machine. The rate is that of rows: from the first request to the last row. Last,
 * the time from request to row at light load.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import pg from "pg";
import { startEmbeddedPostgres } from "../app/dev/embedded-postgres.ts";
import type { IngestOptions } from "./ingest.ts";
import { eventJson, ndjson } from "./lib/events.ts";
import { type Target, startEcho, startPulseGate } from "./lib/pulsegate.ts";
import { treeCpuSeconds, usage } from "./lib/process.ts";
import { rowLatency } from "./lib/row-latency.ts";
import { round, spread } from "./lib/stats.ts";
import { wrk } from "./lib/wrk.ts";

const LINES = 100;
const LINE_BYTES = 250;
const CONNECTIONS = 64;
/** POSTs per second for the time from request to row. */
const LIGHT_RATE = 100;
const QUIET = { debug() {}, info() {}, warn() {}, error() {} };

interface Run {
  readonly rowsPerSecond: number;
  /** Rows still missing when the generator stopped: whether the rate is sustained or a backlog grows. */
  readonly backlogAtEnd: number;
  readonly gateCpuMicros: number;
  readonly postgresCpuMicros: number;
  readonly rssMiB: number;
}

export async function delivery({ rounds, seconds }: IngestOptions): Promise<unknown> {
  const dir = mkdtempSync(join(tmpdir(), "pulsegate-bench-pg-"));
  const postgres = await startEmbeddedPostgres({ dataDir: dir, logger: QUIET });
  const echo = await startEcho();
  const pool = new pg.Pool({ connectionString: postgres.url, max: 2 });
  const gate = await startPulseGate(sinkYaml(postgres.url));
  const postgresPid = await postmasterPid(pool);
  const run = (load: Parameters<typeof wrk>[0], perAnswer: number) =>
    rows({ gate, pool, postgresPid, load, perAnswer });
  try {
    const single = {
      url: `${gate.url}/v1/events`,
      body: eventJson(1024),
      headers: { ...gate.headers, "Content-Type": "application/json" },
      connections: CONNECTIONS,
      seconds,
    };
    const batch = {
      ...single,
      url: `${gate.url}/v1/events/batch`,
      body: ndjson(LINES, LINE_BYTES),
      headers: { ...gate.headers, "Content-Type": "application/x-ndjson" },
      connections: 8,
    };
    const echoLoad = { ...single, url: echo.url, headers: { "Content-Type": "application/json" } };
    await run({ ...single, seconds: 3 }, 1);
    const singles: Array<{ echo: number; gate: Run }> = [];
    const batches: Run[] = [];
    for (let i = 0; i < rounds; i++) {
      singles.push({ echo: (await wrk(echoLoad)).rate, gate: await run(single, 1) });
      batches.push(await run(batch, LINES));
    }
    const post = poster(gate);
    return {
      post1KB_64: { ...summary(singles.map((s) => s.gate)), ...ratio(singles) },
      ndjson: summary(batches),
      lightLoad: await rowLatency({ post, pool, rate: LIGHT_RATE, seconds: seconds * 2 }),
    };
  } finally {
    await gate.stop();
    await pool.end();
    await echo.stop();
    await postgres.stop();
    rmSync(dir, { recursive: true });
  }
}

export function sinkYaml(url: string): string {
  return `    plugins:
      sinks:
        - name: postgres_sink
          config: { table: events_raw, url: ${JSON.stringify(url)} }
`;
}

interface RowsOptions {
  readonly gate: Target;
  readonly pool: pg.Pool;
  readonly postgresPid: number;
  readonly load: Parameters<typeof wrk>[0];
  readonly perAnswer: number;
}

async function rows({ gate, pool, postgresPid, load, perAnswer }: RowsOptions): Promise<Run> {
  await pool.query("TRUNCATE events_raw").catch(() => undefined);
  await pool.query("CHECKPOINT");
  const before = { gate: usage(gate.pid).cpuSeconds, postgres: treeCpuSeconds(postgresPid) };
  const started = performance.now();
  const result = await wrk(load);
  if (result.failures > 0) throw new Error(`${result.failures} requests failed`);
  const events = result.answers * perAnswer;
  const backlogAtEnd = events - (await count(pool));
  // wrk abandons the requests in flight at its end; the server may still take those: at least `events` rows.
  while ((await count(pool)) < events) {
    // Counting is the pause.
  }
  const elapsed = (performance.now() - started) / 1000;
  const after = { gate: usage(gate.pid), postgres: treeCpuSeconds(postgresPid) };
  return {
    rowsPerSecond: events / elapsed,
    backlogAtEnd,
    gateCpuMicros: ((after.gate.cpuSeconds - before.gate) * 1e6) / events,
    postgresCpuMicros: ((after.postgres - before.postgres) * 1e6) / events,
    rssMiB: after.gate.rssBytes / 2 ** 20,
  };
}

function poster({ url, headers }: Target): (eventId: string) => Promise<void> {
  const payload = JSON.parse(eventJson(1024)) as object;
  return async (eventId) => {
    const body = JSON.stringify({ event_id: eventId, event_type: "order_paid", payload });
    const init = { method: "POST", body, headers: { ...headers, "Content-Type": "application/json" } };
    const answer = await fetch(`${url}/v1/events`, init);
    await answer.arrayBuffer();
    if (answer.status !== 202) throw new Error(`a POST was answered ${answer.status}`);
  };
}

async function count(pool: pg.Pool): Promise<number> {
  const { rows: found } = await pool.query<{ n: string }>("SELECT count(*) AS n FROM events_raw");
  return Number(found[0]?.n ?? 0);
}

async function postmasterPid(pool: pg.Pool): Promise<number> {
  const { rows: found } = await pool.query<{ pid: string }>(
    "SELECT split_part(pg_read_file('postmaster.pid'), E'\\n', 1) AS pid",
  );
  return Number(found[0]?.pid);
}

function summary(runs: readonly Run[]): Record<string, unknown> {
  const of = (key: keyof Run) => round(spread(runs.map((run) => run[key])).median);
  return {
    rowsPerSecond: of("rowsPerSecond"),
    backlogAtEnd: of("backlogAtEnd"),
    gateCpuMicrosEach: of("gateCpuMicros"),
    postgresCpuMicrosEach: of("postgresCpuMicros"),
    rssMiB: of("rssMiB"),
  };
}

function ratio(samples: ReadonlyArray<{ echo: number; gate: Run }>): Record<string, unknown> {
  const ratios = spread(samples.map((sample) => sample.gate.rowsPerSecond / sample.echo));
  return {
    ratio: { median: round(ratios.median), min: round(ratios.min), max: round(ratios.max) },
    echoPerSecond: round(spread(samples.map((sample) => sample.echo)).median),
  };
}
