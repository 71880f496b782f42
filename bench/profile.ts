/** The founding text's load profile (tests/load/profile.ts), POST to row, by an open-loop generator. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import pg from "pg";
import { startEmbeddedPostgres } from "../app/dev/embedded-postgres.ts";
import { PROFILE } from "../tests/load/profile.ts";
import { sinkYaml } from "./delivery.ts";
import type { IngestOptions } from "./ingest.ts";
import { openLoop } from "./lib/open-loop.ts";
import { startPulseGate } from "./lib/pulsegate.ts";
import { round } from "./lib/stats.ts";

const BODY = JSON.stringify({
  event_type: "user_sign_up",
  user_id: "u_123",
  ip: "8.8.8.8",
  timestamp: "2025-03-01T12:00:00Z",
});
const QUIET = { debug() {}, info() {}, warn() {}, error() {} };

export async function profile({ seconds }: IngestOptions): Promise<unknown> {
  const dir = mkdtempSync(join(tmpdir(), "pulsegate-profile-"));
  const postgres = await startEmbeddedPostgres({ dataDir: dir, logger: QUIET });
  const pool = new pg.Pool({ connectionString: postgres.url, max: 1 });
  const gate = await startPulseGate(sinkYaml(postgres.url));
  const load = {
    url: `${gate.url}/v1/events`,
    body: BODY,
    headers: { ...gate.headers, "Content-Type": "application/json" },
  };
  try {
    await openLoop({ ...load, rate: 1000, seconds: 3 });
    const steps: unknown[] = [];
    for (const rate of PROFILE.rates)
      steps.push(await step(pool, () => openLoop({ ...load, rate, seconds: seconds * 2 }), rate));
    return { profile: PROFILE, steps };
  } finally {
    await gate.stop();
    await pool.end();
    await postgres.stop();
    rmSync(dir, { recursive: true });
  }
}

async function step(pool: pg.Pool, attack: () => ReturnType<typeof openLoop>, rate: number): Promise<unknown> {
  const before = await count(pool);
  const result = await attack();
  const behindAtEnd = result.sent - result.failed - ((await count(pool)) - before);
  const started = performance.now();
  while ((await count(pool)) - before < result.sent - result.failed) {
    // Counting is the pause.
  }
  return {
    rate,
    generator: result.generator,
    sent: result.sent,
    failed: result.failed,
    p50Ms: round(result.p50Ms),
    p99Ms: round(result.p99Ms),
    rowsBehindAtEnd: behindAtEnd,
    secondsToLastRow: round((performance.now() - started) / 1000),
    withinThresholds: result.failed <= PROFILE.failedShareMax * result.sent && result.p99Ms < PROFILE.p99MsMax,
  };
}

async function count(pool: pg.Pool): Promise<number> {
  const { rows } = await pool.query<{ n: string }>("SELECT count(*) AS n FROM events_raw");
  return Number(rows[0]?.n ?? 0);
}
