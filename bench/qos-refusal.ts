import { createHash, randomBytes } from "node:crypto";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { startEmbeddedPostgres } from "../app/dev/embedded-postgres.ts";
import type { IngestOptions } from "./ingest.ts";
import { eventJson, ndjson } from "./lib/events.ts";
import { usage } from "./lib/process.ts";
import { startPulseGate, type Target } from "./lib/pulsegate.ts";
import { median, round } from "./lib/stats.ts";
import { type Load, wrk } from "./lib/wrk.ts";

const CONNECTIONS = 64;
const LOOK_MS = 250;
const QUIET = { debug() {}, info() {}, warn() {}, error() {} };
const ONE = { path: "/v1/events", type: "application/json" };
const MANY = { path: "/v1/events/batch", type: "application/x-ndjson" };

const SHAPES = [
  { name: "1 KB", ...ONE, body: eventJson(1024) },
  { name: "16 KB", ...ONE, body: eventJson(16 * 1024) },
  { name: "NDJSON 100 x 250 B", ...MANY, body: ndjson(100, 250) },
] as const;

/**
 * CPU of the whole gate for each answer: 429 by a quota that is used up, against 202 of a tenant without a sink
 * (the door and the log), and of those whose events are delivered as well: into a file, into PostgreSQL.
 */
export async function refusal({ rounds, seconds }: IngestOptions): Promise<unknown> {
  const [limited, filed, rowed] = [tenantKey(), tenantKey(), tenantKey()];
  const dir = mkdtempSync(join(tmpdir(), "pulsegate-bench-"));
  const postgres = await startEmbeddedPostgres({ dataDir: join(dir, "postgres"), logger: QUIET });
  const gate = await startPulseGate(`  - id: limited
    keys: [{ id: bench, sha256: ${limited.sha256} }]
    quota: { events_per_second: 1/s, burst: 100 }
  - id: file
    keys: [{ id: bench, sha256: ${filed.sha256} }]
    plugins: { sinks: [{ name: file_sink, id: out, config: { path: ${JSON.stringify(join(dir, "out"))} } }] }
  - id: postgres
    keys: [{ id: bench, sha256: ${rowed.sha256} }]
    plugins: { sinks: [{ name: postgres_sink, id: out, config: { table: events, url: ${JSON.stringify(postgres.url)} } }] }
`);
  try {
    const figures = [];
    for (const { name, path, type, body } of SHAPES) {
      const load = (headers: Readonly<Record<string, string>>): Load => {
        return {
          url: gate.url + path,
          body,
          headers: { ...headers, "Content-Type": type },
          connections: CONNECTIONS,
          seconds,
        };
      };
      const samples: Sample[] = [];
      // The first round warms up.
      for (let i = 0; i <= rounds; i++) {
        const stored = await cpuMicrosEach(gate, load(gate.headers));
        const file = await cpuMicrosEach(gate, load(filed.headers), () => settledAll(gate, "file"));
        const rows = await cpuMicrosEach(gate, load(rowed.headers), () => settledAll(gate, "postgres"));
        const refused = await cpuMicrosEach(gate, load(limited.headers));
        if (i > 0) samples.push({ stored, file, rows, refused });
      }
      figures.push({ request: name, ...summary(samples) });
    }
    return { requests: figures, owedRatioMax: 0.3 };
  } finally {
    await gate.stop();
    await postgres.stop();
    rmSync(dir, { recursive: true });
  }
}

/** Microseconds of CPU for each answer. */
interface Sample {
  readonly stored: number;
  readonly file: number;
  readonly rows: number;
  readonly refused: number;
}

function summary(samples: readonly Sample[]): object {
  const of = (what: (sample: Sample) => number): number => round(median(samples.map(what)));
  return {
    storedCpuMicros: of(({ stored }) => stored),
    toFileCpuMicros: of(({ file }) => file),
    toPostgresCpuMicros: of(({ rows }) => rows),
    refusedCpuMicros: of(({ refused }) => refused),
    ratioToStored: of(({ stored, refused }) => refused / stored),
    ratioToFile: of(({ file, refused }) => refused / file),
    ratioToPostgres: of(({ rows, refused }) => refused / rows),
  };
}

function tenantKey() {
  const key = randomBytes(32).toString("base64url");
  return { headers: { "X-API-Key": key }, sha256: createHash("sha256").update(key).digest("hex") };
}

async function cpuMicrosEach(gate: Target, load: Load, done?: () => Promise<void>): Promise<number> {
  const before = usage(gate.pid).cpuSeconds;
  const { answers } = await wrk(load);
  await done?.();
  return ((usage(gate.pid).cpuSeconds - before) / answers) * 1e6;
}

/** Waits until the tenant's lane has nothing left. */
async function settledAll(gate: Target, tenantId: string): Promise<void> {
  const done = new RegExp(`^pulsegate_stream_lag\\{tenant="${tenantId}",sink="out"\\} 0$`, "m");
  for (;;) {
    const text = await (await fetch(`${gate.opsUrl}/metrics`)).text();
    if (done.test(text)) return;
    await pause(LOOK_MS);
  }
}
