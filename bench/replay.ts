/**
 * What a replay that runs flat out does to live traffic: events come on schedule and go to PostgreSQL, in
 * rounds with the replay paused and running in turn; the latency of the ack, and from there to the row.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import pg from "pg";
import { startEmbeddedPostgres } from "../app/dev/embedded-postgres.ts";
import type { IngestOptions } from "./ingest.ts";
import { sinkYaml } from "./delivery.ts";
import { eventJson, ndjson } from "./lib/events.ts";
import { openLoop } from "./lib/open-loop.ts";
import { ADMIN_TOKEN, type Target, startPulseGate } from "./lib/pulsegate.ts";
import { median, round } from "./lib/stats.ts";
import { wrk } from "./lib/wrk.ts";

const EVENTS = 1_000_000;
const LINES = 100;
const LINE_BYTES = 250;
/** Well below what the machine takes: latency, not throughput, is what is looked at. */
const LIVE_PER_SECOND = 200;
const QUIET = { debug() {}, info() {}, warn() {}, error() {} };

/** A key as `events_raw` has it, and when each row came. */
const TABLE = `CREATE TABLE events_raw (tenant_id text NOT NULL, event_id text NOT NULL, event_type text NOT NULL,
  occurred_at timestamptz NOT NULL, received_at timestamptz NOT NULL, source text NOT NULL, trace_id text,
  idempotency_key text, payload jsonb NOT NULL, stored_at timestamptz DEFAULT clock_timestamp(),
  PRIMARY KEY (tenant_id, event_id))`;

interface Round {
  readonly ackP99Ms: number;
  readonly rowP50Ms: number;
  readonly rowP99Ms: number;
  readonly replayedPerSecond: number;
}

export async function replay({ rounds, seconds }: IngestOptions): Promise<unknown> {
  const dir = mkdtempSync(join(tmpdir(), "pulsegate-bench-replay-"));
  const postgres = await startEmbeddedPostgres({ dataDir: dir, logger: QUIET });
  const pool = new pg.Pool({ connectionString: postgres.url, max: 2 });
  await pool.query(TABLE);
  const gate = await startPulseGate(sinkYaml(postgres.url));
  try {
    // A quick look takes fewer.
    const events = await fill(gate, pool, seconds < 5 ? EVENTS / 10 : EVENTS);
    const job = await admin<{ id: string }>(gate, "tenants/bench/jobs", { kind: "replay" });
    await admin(gate, `jobs/${job.id}/start`, {});
    const run = (isRunning: boolean) => liveRound({ gate, pool, seconds, job: job.id, isRunning });
    await run(false);
    const alone: Round[] = [];
    const beside: Round[] = [];
    for (let i = 0; i < rounds; i++) {
      alone.push(await run(false));
      beside.push(await run(true));
    }
    return summary({ events, alone, beside });
  } finally {
    await gate.stop();
    await pool.end();
    await postgres.stop();
    rmSync(dir, { recursive: true });
  }
}

async function fill(gate: Target, pool: pg.Pool, events: number): Promise<number> {
  const body = ndjson(LINES, LINE_BYTES);
  const headers = { ...gate.headers, "Content-Type": "application/x-ndjson" };
  let sent = 0;
  while (sent < events) {
    const load = { url: `${gate.url}/v1/events/batch`, body, headers, connections: 8, seconds: 2 };
    sent += (await wrk(load)).answers * LINES;
  }
  while ((await rowCount(pool)) < sent) {
    // Counting is the pause.
  }
  return sent;
}

async function rowCount(pool: pg.Pool): Promise<number> {
  const { rows } = await pool.query<{ n: string }>("SELECT count(*) AS n FROM events_raw");
  return Number(rows[0]?.n ?? 0);
}

async function liveRound(options: {
  readonly gate: Target;
  readonly pool: pg.Pool;
  readonly seconds: number;
  readonly job: string;
  readonly isRunning: boolean;
}): Promise<Round> {
  const { gate, pool, seconds, job, isRunning } = options;
  const { state } = await admin<{ state: string }>(gate, `jobs/${job}`);
  if (isRunning && state === "paused") await admin(gate, `jobs/${job}/resume`, {});
  if (!isRunning && state === "running") await admin(gate, `jobs/${job}/pause`, {});
  if (isRunning && state === "done") throw new Error("the replay was over before the rounds were");
  const before = await settled(gate, job);
  const from = await now(pool);
  const headers = { ...gate.headers, "Content-Type": "application/json" };
  const load = { url: `${gate.url}/v1/events`, body: eventJson(1024), headers, rate: LIVE_PER_SECOND, seconds };
  const acks = await openLoop(load);
  if (acks.failed > 0) throw new Error(`${acks.failed} requests failed`);
  const replayed = (await settled(gate, job)) - before;
  const rows = await rowTimes(pool, { from, count: acks.sent });
  return { ackP99Ms: acks.p99Ms, ...rows, replayedPerSecond: replayed / seconds };
}

async function settled(gate: Target, job: string): Promise<number> {
  return (await admin<{ progress: { settled: number } }>(gate, `jobs/${job}`)).progress.settled;
}

async function now(pool: pg.Pool): Promise<string> {
  const { rows } = await pool.query<{ at: string }>("SELECT clock_timestamp()::text AS at");
  return rows[0]?.at ?? "";
}

async function rowTimes(
  pool: pg.Pool,
  { from, count }: { readonly from: string; readonly count: number },
): Promise<{ rowP50Ms: number; rowP99Ms: number }> {
  for (;;) {
    const { rows } = await pool.query<{ n: string; p50: number; p99: number }>(
      `SELECT count(*) AS n, percentile_cont(0.5) WITHIN GROUP (ORDER BY took) AS p50,
         percentile_cont(0.99) WITHIN GROUP (ORDER BY took) AS p99
       FROM (SELECT extract(epoch FROM stored_at - received_at) * 1000 AS took
             FROM events_raw WHERE received_at >= $1) AS live`,
      [from],
    );
    const [row] = rows;
    if (row !== undefined && Number(row.n) >= count) return { rowP50Ms: row.p50, rowP99Ms: row.p99 };
  }
}

/** POST with a body, GET without. */
async function admin<T>(gate: Target, path: string, body?: unknown): Promise<T> {
  const headers = { Authorization: `Bearer ${ADMIN_TOKEN}`, "Content-Type": "application/json" };
  const init = body === undefined ? { headers } : { headers, method: "POST", body: JSON.stringify(body) };
  const response = await fetch(`${gate.opsUrl}/admin/v1/${path}`, init);
  if (!response.ok) throw new Error(`${path}: ${response.status} ${await response.text()}`);
  return (await response.json()) as T;
}

function summary({ events, alone, beside }: { events: number; alone: readonly Round[]; beside: readonly Round[] }) {
  const of = (rounds: readonly Round[], pick: (one: Round) => number) => round(median(rounds.map(pick)));
  const ratios = (pick: (one: Round) => number) =>
    round(median(beside.map((one, i) => pick(one) / pick(alone[i] as Round))));
  const figures = (rounds: readonly Round[]) => ({
    ackP99Ms: of(rounds, (one) => one.ackP99Ms),
    rowP50Ms: of(rounds, (one) => one.rowP50Ms),
    rowP99Ms: of(rounds, (one) => one.rowP99Ms),
  });
  return {
    events,
    livePerSecond: LIVE_PER_SECOND,
    replayedPerSecond: of(beside, (one) => one.replayedPerSecond),
    alone: figures(alone),
    besideReplay: figures(beside),
    ackP99Ratio: ratios((one) => one.ackP99Ms),
    rowP99Ratio: ratios((one) => one.rowP99Ms),
  };
}
