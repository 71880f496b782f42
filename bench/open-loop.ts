/** How long an ack takes when requests come on schedule, at half of what the door can take. */
import { tmpdir } from "node:os";
import type { IngestOptions } from "./ingest.ts";
import { eventJson } from "./lib/events.ts";
import { type OnSchedule, onSchedule } from "./lib/open-loop.ts";
import { startEcho, startPulseGate } from "./lib/pulsegate.ts";
import { median, round } from "./lib/stats.ts";
import { syncTime } from "./lib/sync-time.ts";
import { wrk } from "./lib/wrk.ts";

export async function openLoopBench({ rounds, seconds }: IngestOptions): Promise<unknown> {
  const echo = await startEcho();
  const gate = await startPulseGate();
  try {
    const body = eventJson(1024);
    const json = { "Content-Type": "application/json" };
    const gateLoad = { url: `${gate.url}/v1/events`, body, headers: { ...gate.headers, ...json } };
    const echoLoad = { url: echo.url, body, headers: json };
    const peak = (await wrk({ ...gateLoad, connections: 64, seconds: Math.max(3, seconds / 2) })).rate;
    const rate = Math.round(peak / 2);
    const samples: Array<{ echo: OnSchedule; gate: OnSchedule; syncMs: number }> = [];
    for (let i = 0; i < rounds; i++) {
      samples.push({
        echo: await onSchedule({ ...echoLoad, rate, seconds }),
        gate: await onSchedule({ ...gateLoad, rate, seconds }),
        syncMs: syncTime(tmpdir()).p50Ms,
      });
    }
    return summary(samples, { peak, rate });
  } finally {
    await gate.stop();
    await echo.stop();
  }
}

function summary(
  samples: ReadonlyArray<{ echo: OnSchedule; gate: OnSchedule; syncMs: number }>,
  { peak, rate }: { peak: number; rate: number },
): unknown {
  const of = (pick: (sample: (typeof samples)[number]) => number) => round(median(samples.map(pick)));
  const allowed = samples.map((sample) => sample.echo.p99Ms + 2 * sample.syncMs + 1);
  return {
    generator: "bench/on-schedule.ts",
    peakPerSecond: round(peak),
    ratePerSecond: rate,
    failed: samples.reduce((sum, sample) => sum + sample.gate.failed, 0),
    gate: { p50Ms: of((s) => s.gate.p50Ms), p99Ms: of((s) => s.gate.p99Ms) },
    echo: { p50Ms: of((s) => s.echo.p50Ms), p99Ms: of((s) => s.echo.p99Ms) },
    sync16KiBMs: of((s) => s.syncMs),
    /** The echo's p99 + 2 syncs + 1 ms. */
    owedP99Ms: round(median(allowed)),
  };
}
