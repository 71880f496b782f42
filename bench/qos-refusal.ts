import { createHash, randomBytes } from "node:crypto";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import type { IngestOptions } from "./ingest.ts";
import { eventJson, ndjson } from "./lib/events.ts";
import { usage } from "./lib/process.ts";
import { startPulseGate, type Target } from "./lib/pulsegate.ts";
import { median, round } from "./lib/stats.ts";
import { type Load, wrk } from "./lib/wrk.ts";

const CONNECTIONS = 64;
const LOOK_MS = 250;
const ONE = { path: "/v1/events", type: "application/json" };
const MANY = { path: "/v1/events/batch", type: "application/x-ndjson" };

const SHAPES = [
  { name: "1 KB", ...ONE, body: eventJson(1024) },
  { name: "16 KB", ...ONE, body: eventJson(16 * 1024) },
  { name: "NDJSON 100 x 250 B", ...MANY, body: ndjson(100, 250) },
] as const;

/**
 * CPU of the whole gate for each answer: 429 by a quota that is used up, against 202 of a tenant without a sink
 * (the door and the log), and of one whose events also are delivered (into a file).
 */
export async function refusal({ rounds, seconds }: IngestOptions): Promise<unknown> {
  const [limited, delivered] = [tenantKey(), tenantKey()];
  const dir = mkdtempSync(join(tmpdir(), "pulsegate-bench-"));
  const gate = await startPulseGate(`  - id: limited
    keys: [{ id: bench, sha256: ${limited.sha256} }]
    quota: { events_per_second: 1/s, burst: 100 }
  - id: delivered
    keys: [{ id: bench, sha256: ${delivered.sha256} }]
    plugins: { sinks: [{ name: file_sink, id: out, config: { path: ${JSON.stringify(join(dir, "out"))} } }] }
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
      const samples: Array<{ stored: number; settled: number; refused: number }> = [];
      // The first round warms up.
      for (let i = 0; i <= rounds; i++) {
        const stored = await cpuMicrosEach(gate, load(gate.headers));
        const settled = await cpuMicrosEach(gate, load(delivered.headers), () => settledAll(gate));
        const refused = await cpuMicrosEach(gate, load(limited.headers));
        if (i > 0) samples.push({ stored, settled, refused });
      }
      const of = (what: (sample: (typeof samples)[number]) => number): number => round(median(samples.map(what)));
      figures.push({
        request: name,
        storedCpuMicros: of(({ stored }) => stored),
        deliveredCpuMicros: of(({ settled }) => settled),
        refusedCpuMicros: of(({ refused }) => refused),
        ratioToStored: of(({ stored, refused }) => refused / stored),
        ratioToDelivered: of(({ settled, refused }) => refused / settled),
      });
    }
    return { requests: figures, owedRatioMax: 0.3 };
  } finally {
    await gate.stop();
    rmSync(dir, { recursive: true });
  }
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
async function settledAll(gate: Target): Promise<void> {
  for (;;) {
    const text = await (await fetch(`${gate.opsUrl}/metrics`)).text();
    if (/^pulsegate_stream_lag\{tenant="delivered",sink="out"\} 0$/m.test(text)) return;
    await pause(LOOK_MS);
  }
}
