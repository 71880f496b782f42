/**
 * What it costs to run a plugin apart, and what it saves.
 *
 * cost: a chain of one trivial transform over the same batches, in PulseGate's own thread (reference),
 * in a thread of its own and in a process of its own, in turn in one run.
 * harm: the delivery latency of a tenant on the real product, without and with another tenant's plugin
 * that does the worst, in turn in one run.
 */
import { encodeParts, stampReceivedAt } from "../core/canonical/codec.ts";
import type { Isolation } from "../core/ingestion/revision.ts";
import { systemClock } from "../observability/system-clock.ts";
import type { TransformDefinition, TransformPlugin } from "../plugins/contract.ts";
import { Calls } from "../workers/call.ts";
import { runChain } from "../workers/chain.ts";
import type { WorkerDeps } from "../workers/deps.ts";
import { PluginHost } from "../workers/host.ts";
import { guardedDefinition } from "../workers/isolation/guarded.ts";
import { Pace } from "../workers/pace.ts";
import { Timers } from "../workers/timers.ts";
import { harm } from "./isolation-harm.ts";
import { eventJson } from "./lib/events.ts";
import { round, spread } from "./lib/stats.ts";
import tag from "./lib/tag-plugin.ts";

const PAYLOAD_BYTES = 500;
/** As the lanes hand events to their chain. */
const BATCH = 128;

interface Run {
  readonly rounds: number;
  readonly seconds: number;
}

export async function isolation(run: Run): Promise<unknown> {
  return { cost: await cost(run), harm: await harm(run) };
}

async function cost({ rounds, seconds }: Run): Promise<unknown> {
  const deps = workerDeps();
  const batch = Array.from({ length: BATCH }, (_, n) => canonicalBytes(n));
  const hosts = {
    inThread: await started(deps, tag),
    worker: await started(deps, apart(deps, "worker")),
    process: await started(deps, apart(deps, "process")),
  };
  const samples = new Map(Object.keys(hosts).map((name) => [name, [] as number[]]));
  for (let i = 0; i < rounds; i++)
    for (const [name, host] of Object.entries(hosts))
      samples.get(name)?.push(await rate({ deps, host, batch, seconds }));
  for (const host of Object.values(hosts)) await host.close(1_000);
  deps.timers.close();
  const reference = samples.get("inThread") ?? [];
  const medians = [...samples].map(([name, rates]) => [name, round(spread(rates).median)]);
  const ratios = [...samples].map(([name, rates]) => {
    const { median, min, max } = spread(rates.map((one, i) => one / (reference[i] ?? Number.NaN)));
    return [name, { median: round(median), min: round(min), max: round(max) }];
  });
  return {
    payloadBytes: PAYLOAD_BYTES,
    batch: BATCH,
    eventsPerSecond: Object.fromEntries(medians) as unknown,
    ratio: Object.fromEntries(ratios) as unknown,
  };
}

/** As much of a worker as a chain needs. */
function workerDeps(): WorkerDeps {
  const quiet = () => undefined;
  const deps: Partial<WorkerDeps> = {
    timers: new Timers(systemClock),
    pace: new Pace(systemClock),
    random: Math.random,
    logger: { debug: quiet, info: quiet, warn: quiet, error: quiet },
    pluginMetrics: () => ({ count: quiet, observe: quiet }),
    flights: undefined,
  };
  return deps as WorkerDeps;
}

function apart(deps: WorkerDeps, mode: Isolation["mode"]): TransformDefinition {
  const url = new URL("./lib/tag-plugin.ts", import.meta.url).href;
  const isolated: Isolation = { mode, memoryBytes: 256 << 20, deadlineMs: 5_000 };
  const module = { source: url, url, digest: "0", version: tag.version };
  const use = { name: tag.name, config: {}, module, isolation: isolated };
  return guardedDefinition({ deps, tenantId: "bench", kind: "transform", use });
}

async function started(deps: WorkerDeps, definition: TransformDefinition): Promise<PluginHost<TransformPlugin>> {
  const host = new PluginHost<TransformPlugin>({
    deps,
    definition,
    config: {},
    tenantId: "bench",
    timeoutMs: 30_000,
    isComplete: () => true,
    onReady: () => undefined,
  });
  await host.start();
  return host;
}

/** Events per second through a chain of the one transform, from canonical bytes to canonical bytes. */
async function rate(run: {
  readonly deps: WorkerDeps;
  readonly host: PluginHost<TransformPlugin>;
  readonly batch: readonly Buffer[];
  readonly seconds: number;
}): Promise<number> {
  const { deps, host, batch, seconds } = run;
  const calls = new Calls(deps.timers);
  const stages = { shared: [host], route: undefined, branch: [] };
  const inputs = batch.map((bytes) => ({ bytes, attempt: 1 }));
  const startedAt = performance.now();
  let done = 0;
  while (performance.now() < startedAt + seconds * 1_000) {
    const prepared = await runChain({ stages, inputs, calls, timeoutMs: 30_000, pace: deps.pace });
    if (prepared.some((one) => one?.type !== "ok")) throw new Error(JSON.stringify(prepared.find((one) => one)));
    done += batch.length;
  }
  return (done / (performance.now() - startedAt)) * 1_000;
}

function canonicalBytes(n: number): Buffer {
  const payload = Buffer.from(eventJson(PAYLOAD_BYTES, n));
  const event = { eventId: `event-${n}`, tenantId: "bench", eventType: "order_paid", source: "http" as const };
  const bytes = encodeParts({ ...event, payload });
  stampReceivedAt(bytes, Date.now());
  return bytes;
}
