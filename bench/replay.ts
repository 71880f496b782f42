/**
 * What a replay that runs flat out does to live traffic: events come on schedule and go to PostgreSQL, with the
 * replay paused and running in turn; the latency of the ack, and from there to the row. A round is calm, replay,
 * replay, calm, so that what drifts hits both alike, and its ratio is of the two windows of each. How far apart the
 * two calm ones are tells what a ratio is worth on this machine at this time.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { loadavg, tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout } from "node:timers/promises";
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
const SETTLE_MS = 500;
const QUIET = { debug() {}, info() {}, warn() {}, error() {} };

/** A key as `events_raw` has it, and when each row came. */
const TABLE = `CREATE TABLE events_raw (tenant_id text NOT NULL, event_id text NOT NULL, event_type text NOT NULL,
  occurred_at timestamptz NOT NULL, received_at timestamptz NOT NULL, source text NOT NULL, trace_id text,
  idempotency_key text, payload jsonb NOT NULL, stored_at timestamptz DEFAULT clock_timestamp(),
  PRIMARY KEY (tenant_id, event_id))`;

/** Two windows of each kind. */
interface Round {
  readonly calm: readonly Window[];
  readonly replayed: readonly Window[];
}

interface Window {
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
    let job = await startReplay(gate);
    const run = async (isRunning: boolean) => {
      // A quick machine is through with all events before the rounds are over: then it begins anew.
      if ((await stateOf(gate, job)) === "done") job = await startReplay(gate);
      return liveRound({ gate, pool, seconds, job, isRunning });
    };
    await run(false);
    const all: Round[] = [];
    for (let i = 0; i < rounds; i++) {
      const calm = [await run(false)];
      const replayed = [await run(true), await run(true)];
      all.push({ calm: [...calm, await run(false)], replayed });
    }
    return { events, loadAverage: round(loadavg()[0] ?? 0), ...summary(all) };
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
}): Promise<Window> {
  const { gate, pool, seconds, job, isRunning } = options;
  const state = await stateOf(gate, job);
  if (isRunning && state === "paused") await admin(gate, `jobs/${job}/resume`, {});
  if (!isRunning && state === "running") await admin(gate, `jobs/${job}/pause`, {});
  // What was under way when it was paused is over by then.
  await setTimeout(SETTLE_MS);
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

async function startReplay(gate: Target): Promise<string> {
  const { id } = await admin<{ id: string }>(gate, "tenants/bench/jobs", { kind: "replay" });
  await admin(gate, `jobs/${id}/start`, {});
  return id;
}

async function stateOf(gate: Target, job: string): Promise<string> {
  return (await admin<{ state: string }>(gate, `jobs/${job}`)).state;
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

function summary(rounds: readonly Round[]) {
  const figures = (windows: readonly Window[]) => ({
    ackP99Ms: medianOf(windows, ({ ackP99Ms }) => ackP99Ms),
    rowP50Ms: medianOf(windows, ({ rowP50Ms }) => rowP50Ms),
    rowP99Ms: medianOf(windows, ({ rowP99Ms }) => rowP99Ms),
  });
  const replayed = rounds.flatMap((one) => one.replayed);
  return {
    livePerSecond: LIVE_PER_SECOND,
    replayedPerSecond: medianOf(replayed, ({ replayedPerSecond }) => replayedPerSecond),
    alone: figures(rounds.flatMap(({ calm }) => calm)),
    besideReplay: figures(replayed),
    ...ratios("ackP99", rounds, ({ ackP99Ms }) => ackP99Ms),
    ...ratios("rowP50", rounds, ({ rowP50Ms }) => rowP50Ms),
    ...ratios("rowP99", rounds, ({ rowP99Ms }) => rowP99Ms),
  };
}

/** `…Ratio`: of a round's replay to its calm. `…CalmRatio`: of the worse of its calm windows to the better. */
function ratios(name: string, rounds: readonly Round[], pick: (one: Window) => number): Record<string, number> {
  const sum = (windows: readonly Window[]) => windows.reduce((all, one) => all + pick(one), 0);
  const calm = (round: Round) => round.calm.map(pick);
  return {
    [`${name}Ratio`]: medianOf(rounds, (one) => sum(one.replayed) / sum(one.calm)),
    [`${name}CalmRatio`]: medianOf(rounds, (one) => Math.max(...calm(one)) / Math.min(...calm(one))),
  };
}

function medianOf<T>(all: readonly T[], pick: (one: T) => number): number {
  return round(median(all.map(pick)));
}
