/**
 * What transforms cost on one core: events through the chain that the lanes run, from stored bytes to
 * the bytes that a sink gets, in batches. The reference, in turn in one run, is the least that a transform
 * which looks at an event and changes it has to do: JSON.parse and JSON.stringify of the same bytes.
 */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { encodeParts, payloadJson, stampReceivedAt } from "../core/canonical/codec.ts";
import { systemClock } from "../observability/system-clock.ts";
import type { TransformDefinition } from "../plugins/contract.ts";
import { findPlugin, PLUGINS } from "../plugins/registry.ts";
import { mmdb } from "../tests/helpers/mmdb.ts";
import { Calls } from "../workers/call.ts";
import { runChain } from "../workers/chain.ts";
import { Pace } from "../workers/pace.ts";
import { Timers } from "../workers/timers.ts";
import { Chain } from "../workers/transforms.ts";
import type { IngestOptions } from "./ingest.ts";
import { round, spread } from "./lib/stats.ts";

const BATCH = 100;
const EVENTS = 1_000;
const QUIET = { debug() {}, info() {}, warn() {}, error() {} };

interface Use {
  readonly name: string;
  readonly config?: object;
}

/** A configuration each under which the transform has something to do in every event. */
function usesIn(folder: string): Readonly<Record<string, Use>> {
  return {
    geoip_enricher: { name: "geoip_enricher", config: { databases: [join(folder, "city.mmdb")] } },
    bot_detector: { name: "bot_detector" },
    field_normalizer: {
      name: "field_normalizer",
      config: {
        rules: [
          { field: "userId", action: "rename", to: "user_id" },
          { field: "items[*].price", action: "cast", to: "number" },
          { field: "created", action: "timestamp" },
          { field: "city", action: "trim" },
          { field: "currency", action: "default", value: "EUR" },
        ],
      },
    },
    pii_scrubber: { name: "pii_scrubber" },
    business_router: {
      name: "business_router",
      config: { rules: [{ when: "event.payload.amount > 1000", route: "big" }], otherwise: { route: "small" } },
    },
  };
}

const EVENT = JSON.stringify({
  userId: "u_1",
  email: "ann@example.com",
  ip: "81.2.69.142",
  user_agent: "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)",
  amount: 1299.5,
  items: [
    { sku: "A-1", quantity: 2, price: "649.75" },
    { sku: "B-2", quantity: 1, price: "0.5" },
  ],
  city: " Hà Nội ",
  created: 1_740_830_400,
  note: "the quick brown fox jumps over the lazy dog ".repeat(15),
});

export async function transforms({ rounds, seconds }: IngestOptions): Promise<unknown> {
  const folder = mkdtempSync(join(tmpdir(), "pulsegate-bench-transforms-"));
  const timers = new Timers(systemClock);
  try {
    const data = { city: { names: { en: "London" } }, country: { iso_code: "GB", names: { en: "United Kingdom" } } };
    writeFileSync(join(folder, "city.mmdb"), mmdb([{ network: "81.2.69.0/24", data }]));
    const uses = usesIn(folder);
    const chains: Record<string, readonly Use[]> = {
      "chain of 0": [],
      "chain of 1": [uses["pii_scrubber"] as Use],
      "chain of 5": Object.values(uses),
    };
    for (const [name, use] of Object.entries(uses)) chains[name] = [use];
    return await compare({ chains, timers, rounds, secondsEach: seconds / 5 });
  } finally {
    timers.close();
    rmSync(folder, { recursive: true });
  }
}

interface Comparison {
  readonly chains: Readonly<Record<string, readonly Use[]>>;
  readonly timers: Timers;
  readonly rounds: number;
  readonly secondsEach: number;
}

async function compare({ chains, timers, rounds, secondsEach }: Comparison): Promise<unknown> {
  const bytes = Array.from({ length: EVENTS }, (_, i) => stored(i));
  const ways = new Map<string, () => Promise<void>>([["reference", async () => parseAndWrite(bytes)]]);
  const started: Chain[] = [];
  for (const [name, uses] of Object.entries(chains)) {
    const chain = await startedChain(uses, timers);
    started.push(chain);
    ways.set(name, () => runAll(chain, bytes, timers));
  }
  const samples = new Map<string, number[]>([...ways.keys()].map((name) => [name, []]));
  for (let turn = 0; turn <= rounds; turn++) {
    for (const [name, way] of ways) {
      const rate = await eventsPerCpuSecond(way, secondsEach);
      // The first turn warms up.
      if (turn > 0) samples.get(name)?.push(rate);
    }
  }
  await Promise.all(started.map((chain) => chain.close(1_000)));
  const reference = samples.get("reference") ?? [];
  return {
    payloadBytes: Buffer.byteLength(EVENT),
    unit: "events per second of CPU time of one process; ratio: to the reference of the same turn",
    results: Object.fromEntries([...samples].map(([name, rates]) => [name, summary(rates, reference)])),
  };
}

function stored(n: number): Buffer {
  const event = encodeParts({
    eventId: `event-${n}`,
    tenantId: "bench",
    eventType: "order_paid",
    source: "http",
    traceId: "0af7651916cd43dd8448eb211c80319c",
    payload: Buffer.from(EVENT),
  });
  stampReceivedAt(event, Date.now());
  return event;
}

function parseAndWrite(events: readonly Buffer[]): void {
  for (const bytes of events) Buffer.from(JSON.stringify(JSON.parse(bytes.toString())));
}

async function startedChain(uses: readonly Use[], timers: Timers): Promise<Chain> {
  const pluginMetrics = () => ({ count() {}, observe() {} });
  const deps = { timers, random: Math.random, logger: QUIET, pluginMetrics, flights: undefined, findPlugin };
  const { promise, resolve } = Promise.withResolvers<void>();
  const chain = new Chain({ deps, tenantId: "bench", uses: uses.map(validated) });
  const isReady = chain.ready({ resume: resolve });
  chain.start();
  if (!isReady) await promise;
  return chain;
}

function validated({ name, config }: Use) {
  const definition = PLUGINS.find((plugin) => plugin.name === name) as TransformDefinition;
  return { use: { name, config: definition.config?.parse(config ?? {}) }, definition };
}

async function runAll(chain: Chain, events: readonly Buffer[], timers: Timers): Promise<void> {
  const stages = { shared: chain.transforms, route: undefined, branch: [] };
  const calls = new Calls(timers);
  const pace = new Pace(systemClock);
  for (let from = 0; from < events.length; from += BATCH) {
    const inputs = events.slice(from, from + BATCH).map((bytes) => ({ bytes, attempt: 1 }));
    for (const prepared of await runChain({ stages, inputs, calls, timeoutMs: 60_000, pace })) {
      if (prepared?.type !== "ok") throw new Error(`an event did not get through: ${JSON.stringify(prepared)}`);
      payloadJson(prepared.event);
    }
  }
}

async function eventsPerCpuSecond(way: () => Promise<void>, seconds: number): Promise<number> {
  const startedAt = performance.now();
  const before = process.cpuUsage();
  let events = 0;
  while (performance.now() - startedAt < seconds * 1_000) {
    await way();
    events += EVENTS;
  }
  const { user, system } = process.cpuUsage(before);
  return events / ((user + system) / 1e6);
}

function summary(rates: readonly number[], reference: readonly number[]): Record<string, unknown> {
  const ratios = spread(rates.map((rate, i) => rate / (reference[i] as number)));
  return {
    eventsPerCore: round(spread(rates).median),
    microsEach: round(1e6 / spread(rates).median),
    ratio: { median: round(ratios.median), min: round(ratios.min), max: round(ratios.max) },
  };
}
