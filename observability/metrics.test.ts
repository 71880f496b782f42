import { Worker } from "node:worker_threads";
import { once } from "node:events";
import { describe, expect, test } from "vitest";
import { METRICS } from "./definitions.ts";
import type { MetricDefinition } from "./definitions.ts";
import { createMetrics } from "./metrics.ts";
import type { Metrics, ThreadSnapshot } from "./metrics.ts";

const FOUNDING_NAMES = [
  "pulsegate_ingest_requests_total",
  "pulsegate_ingest_latency_ms",
  "pulsegate_stream_lag",
  "pulsegate_worker_processing_time",
  "pulsegate_worker_errors_total",
  "pulsegate_dlq_events_total",
  "pulsegate_tenant_backpressure_total",
  "pulsegate_replay_events_total",
];

async function textOf(...all: readonly Metrics[]): Promise<string> {
  const [first = createMetrics(), ...others] = all;
  return first.text(await Promise.all(others.map(threadSnapshot)));
}

async function threadSnapshot(metrics: Metrics): Promise<ThreadSnapshot> {
  return { metrics: await metrics.collect(), traffic: metrics.tenants.takeTraffic() };
}

/** Samples of a text: `name{labels}` → value. */
function samplesOf(text: string): Map<string, number> {
  const lines = text.split("\n").filter((line) => line !== "" && !line.startsWith("#"));
  return new Map(
    lines.map((line) => [line.slice(0, line.lastIndexOf(" ")), Number(line.slice(line.lastIndexOf(" ") + 1))]),
  );
}

describe("the table of metrics", () => {
  const definitions: readonly MetricDefinition[] = Object.values(METRICS);

  test("has the eight founding names, verbatim, and all are exposed from the start", async () => {
    const text = await textOf(createMetrics());
    for (const name of FOUNDING_NAMES) expect(text).toMatch(new RegExp(`^# TYPE ${name} `, "m"));
  });

  test("every further name ends in its unit or in _total, _ratio or _info", () => {
    // A count of events that are missing: alerts ask for this name.
    const fixed: readonly string[] = [...FOUNDING_NAMES, "pulsegate_ledger_imbalance"];
    const others = definitions.filter(({ name }) => !fixed.includes(name));
    for (const { name, type, unit } of others) {
      expect(name).toMatch(/^pulsegate_[a-z_]+_(total|seconds|bytes|info|ratio)$/);
      expect(name.endsWith("_total")).toBe(type === "counter");
      const named = /_(seconds|bytes)$/.exec(name)?.[1] ?? unit;
      expect(named).toBe(unit);
    }
  });

  test("every metric has words and rising buckets", () => {
    for (const { help, type, buckets } of definitions) {
      expect(help).toMatch(/^[A-Z0-9].*\.$/);
      expect(buckets !== undefined).toBe(type === "histogram");
      expect(buckets ?? []).toEqual((buckets ?? []).toSorted((a, b) => a - b));
    }
  });
});

describe("counting", () => {
  test("counts requests by adapter, tenant and status, before the credential is known as well", async () => {
    const metrics = createMetrics();
    for (const tenantId of ["shop", "shop", undefined]) {
      metrics.ingest.request({ adapter: "http", tenantId, status: tenantId === undefined ? 401 : 202, latencyMs: 3 });
    }
    const samples = samplesOf(await textOf(metrics));
    expect(samples.get('pulsegate_ingest_requests_total{adapter="http",tenant="shop",status="202"}')).toBe(2);
    expect(samples.get('pulsegate_ingest_requests_total{adapter="http",tenant="",status="401"}')).toBe(1);
  });

  test("a histogram's buckets are cumulative, bounds included, and end with all", async () => {
    const metrics = createMetrics();
    for (const latencyMs of [0.1, 0.25, 0.3, 10_000]) {
      metrics.ingest.request({ adapter: "http", tenantId: "a", status: 202, latencyMs });
    }
    const samples = samplesOf(await textOf(metrics));
    const bucket = (le: string): number | undefined =>
      samples.get(`pulsegate_ingest_latency_ms_bucket{le="${le}",adapter="http"}`);
    expect([bucket("0.25"), bucket("0.5"), bucket("5000"), bucket("+Inf")]).toEqual([2, 3, 3, 4]);
    expect(samples.get('pulsegate_ingest_latency_ms_count{adapter="http"}')).toBe(4);
    expect(samples.get('pulsegate_ingest_latency_ms_sum{adapter="http"}')).toBeCloseTo(10_000.65);
  });

  test("counts commits of the log and what deduplication knows", async () => {
    const metrics = createMetrics();
    metrics.log.commit({ entries: 10, bytes: 5_000, waitSeconds: 0.001, syncSeconds: 0.002 });
    metrics.log.commit({ entries: 5, bytes: 500, waitSeconds: 0, syncSeconds: 0.004 });
    metrics.log.dedup({ windowSeconds: 60, ids: 15, bytes: 1_024 });
    metrics.log.failed("log_full");
    const samples = samplesOf(await textOf(metrics));
    expect(samples.get("pulsegate_log_commits_total")).toBe(2);
    expect(samples.get("pulsegate_log_commit_events_total")).toBe(15);
    expect(samples.get("pulsegate_log_sync_seconds_sum")).toBeCloseTo(0.006);
    expect(samples.get("pulsegate_log_dedup_window_seconds")).toBe(60);
    expect(samples.get('pulsegate_log_failures_total{code="log_full"}')).toBe(1);
  });

  test("shows the running revision alone", async () => {
    const metrics = createMetrics();
    metrics.config.running(1);
    metrics.config.running(2);
    metrics.config.refused();
    const samples = samplesOf(await textOf(metrics));
    expect([...samples.keys()].filter((key) => key.startsWith("pulsegate_config_revision"))).toEqual([
      'pulsegate_config_revision_info{revision="2"}',
    ]);
    expect(samples.get("pulsegate_config_refused_total")).toBe(1);
  });

  test("shows the build and the process where asked to", async () => {
    const text = await textOf(createMetrics({ build: { version: "1.2.3", node: "v26" } }), createMetrics());
    expect(text).toContain('pulsegate_build_info{version="1.2.3",node="v26"} 1');
    expect(text).toContain("process_cpu_seconds_total");
  });
});

describe("lanes", () => {
  const lane = { tenantId: "a", sink: "raw", lagEvents: 5, lagSeconds: 10, breaker: "closed" } as const;

  test("lanes that share a label are put together: lags added, the worst age and breaker shown", async () => {
    const metrics = createMetrics({ tenantLabelsMax: 0 });
    metrics.lanes.lane(lane);
    metrics.lanes.lane({ ...lane, tenantId: "b", lagEvents: 7, lagSeconds: 3, breaker: "open" });
    const samples = samplesOf(await textOf(metrics));
    expect(samples.get('pulsegate_stream_lag{tenant="other",sink="raw"}')).toBe(12);
    expect(samples.get('pulsegate_lane_lag_seconds{tenant="other",sink="raw"}')).toBe(10);
    expect(samples.get('pulsegate_sink_breaker_info{tenant="other",sink="raw",state="open"}')).toBe(1);
    expect(samples.has('pulsegate_sink_breaker_info{tenant="other",sink="raw",state="closed"}')).toBe(false);
  });

  test("a lane's newer state takes the place of the older, and a lane that is told no more leaves", async () => {
    const metrics = createMetrics();
    const lag = async (): Promise<number | undefined> =>
      samplesOf(await textOf(metrics)).get('pulsegate_stream_lag{tenant="a",sink="raw"}');
    metrics.lanes.lane(lane);
    metrics.lanes.lane({ ...lane, lagEvents: 2 });
    expect(await lag()).toBe(2);
    await lag();
    expect(await lag()).toBeUndefined();
  });

  test("threads' metrics become one: counts added, ages not", async () => {
    const threads = [createMetrics(), createMetrics()];
    for (const { lanes } of threads) {
      lanes.lane(lane);
      lanes.settled("a", "raw", "delivered", 10);
      lanes.processing("a", "raw", 0.02);
    }
    const samples = samplesOf(await textOf(...threads));
    expect(samples.get('pulsegate_stream_lag{tenant="a",sink="raw"}')).toBe(10);
    expect(samples.get('pulsegate_lane_lag_seconds{tenant="a",sink="raw"}')).toBe(10);
    expect(samples.get('pulsegate_lane_settled_total{tenant="a",sink="raw",outcome="delivered"}')).toBe(20);
    expect(samples.get('pulsegate_worker_processing_time_bucket{le="0.025",sink="raw"}')).toBe(2);
  });
});

describe("bounds", () => {
  test("the first tenants keep their names, the rest are other, and nothing is lost", async () => {
    const metrics = createMetrics({ tenantLabelsMax: 2 });
    for (const tenant of ["a", "b", "c", "d", "a"]) metrics.ingest.events(tenant, "accepted", 1, 10);
    const samples = samplesOf(await textOf(metrics));
    const count = (tenant: string): number | undefined =>
      samples.get(`pulsegate_ingest_events_total{tenant="${tenant}",code="accepted"}`);
    expect([count("a"), count("b"), count("c"), count("other")]).toEqual([2, 1, undefined, 2]);
  });

  test("the cap on tenants holds over all threads together", async () => {
    const threads = ["a", "b", "c"].map((tenant) => {
      const metrics = createMetrics({ tenantLabelsMax: 1 });
      metrics.lanes.settled(tenant, "raw", "delivered", 1);
      return metrics;
    });
    const samples = samplesOf(await textOf(...threads));
    const settled = [...samples].filter(([key]) => key.startsWith("pulsegate_lane_settled"));
    expect(settled.map(([, value]) => value).toSorted((a, b) => a - b)).toEqual([1, 2]);
  });

  test("what a plugin counts stays a number that only grows, under a name that fits a line", async () => {
    const metrics = createMetrics();
    const { count, observe } = metrics.plugin("odd") as unknown as Record<
      "count" | "observe",
      (...given: unknown[]) => void
    >;
    count("seen", 2);
    for (const odd of [Number.NaN, Number.POSITIVE_INFINITY, -1, "1", null, {}]) {
      count("seen", odd);
      observe("took", odd);
    }
    observe("took", 0.5);
    count("x".repeat(10_000), 1);
    const own = [...samplesOf(await textOf(metrics))].filter(([key]) =>
      /^pulsegate_plugin_(events|seconds_(sum|count))/.test(key),
    );
    expect(own.map(([, value]) => value)).toEqual([2, 1, 0.5, 1]);
    expect(own.every(([key]) => key.length < 150)).toBe(true);
  });

  test("a plugin that makes up names without end takes no other's", async () => {
    const metrics = createMetrics();
    for (let i = 0; i < 1_000; i++) {
      metrics.plugin("chatty").count(`count-${i}`);
      metrics.plugin("chatty").observe(`time-${i}`, 1);
    }
    metrics.plugin("quiet").count("seen", 3);
    metrics.plugin("quiet").observe("took", 1);
    const text = await textOf(metrics);
    const samples = samplesOf(text);
    expect(samples.get('pulsegate_plugin_events_total{plugin="quiet",name="seen"}')).toBe(3);
    expect(samples.get('pulsegate_plugin_seconds_count{plugin="quiet",name="took"}')).toBe(1);
    expect(samples.get('pulsegate_plugin_events_total{plugin="chatty",name="other"}')).toBe(1_000 - 16);
  });

  test("100,000 tenants with sinks, stages, codes and plugins of their own stay below 5,000 series", async () => {
    const build = { version: "1", node: "v26" };
    const threads = Array.from({ length: 8 }, (_, i) => createMetrics(i === 0 ? { build } : {}));
    for (let i = 0; i < 100_000; i++) hostile(threads[i % 8] as Metrics, i);
    const samples = samplesOf(await textOf(...threads));
    expect(samples.size).toBeLessThan(5_000);
    const total = [...samples]
      .filter(([key]) => key.startsWith("pulsegate_dlq_events_total"))
      .reduce((sum, [, value]) => sum + value, 0);
    expect(total).toBe(100_000);
  });
});

function hostile({ ingest, lanes, plugin }: Metrics, i: number): void {
  const tenantId = `tenant-${i}`;
  const sink = `sink-${i}`;
  ingest.request({ adapter: "http", tenantId, status: 200 + (i % 400), latencyMs: i % 5_000 });
  ingest.events(tenantId, `code_${i % 50}`, 1, 100);
  ingest.backpressure(tenantId, `reason_${i % 10}`);
  lanes.lane({ tenantId, sink, lagEvents: 1, lagSeconds: 1, breaker: "open" });
  lanes.delivery({ tenantId, sink, plugin: `plugin-${i}`, events: 1, seconds: 0.1 });
  lanes.settled(tenantId, sink, "dead", 1);
  lanes.error({ tenantId, sink, stage: `sink ${i}`, code: `code-${i}`, events: 1 });
  lanes.deadLetter(tenantId, sink, `sink ${i}`);
  lanes.processing(tenantId, sink, 0.1);
  plugin(`plugin-${i}`).count(`count-${i}`);
  plugin(`plugin-${i}`).observe(`time-${i}`, 1);
}

describe("the tenants with labels of their own", () => {
  const RANK_MS = 60_000;
  const LABELS = 2;

  /** A gate's main thread and one worker thread, scraped as the gateway does it. */
  function gate(configured: readonly string[] = []) {
    let now = 0;
    const clock = { monotonic: () => now };
    const [main, thread] = [createMetrics({ tenantLabelsMax: LABELS, clock }), createMetrics()];
    main.tenants.configure(configured.map((id) => ({ id, weight: id === "heavy" ? 3 : 1 })));
    const scrape = async (afterMs = RANK_MS): Promise<Map<string, number>> => {
      now += afterMs;
      thread.tenants.follow(main.tenants.decide());
      return samplesOf(await main.text([await threadSnapshot(thread)]));
    };
    thread.tenants.follow(main.tenants.names());
    const send = (tenantId: string, events: number, bytes = 10) =>
      main.ingest.events(tenantId, "accepted", events, bytes);
    const settle = (tenantId: string, events: number) => thread.lanes.settled(tenantId, "raw", "delivered", events);
    return { send, settle, scrape };
  }

  const accepted = (samples: ReadonlyMap<string, number>, tenant: string) =>
    samples.get(`pulsegate_ingest_events_total{tenant="${tenant}",code="accepted"}`);
  const settled = (samples: ReadonlyMap<string, number>, tenant: string) =>
    samples.get(`pulsegate_lane_settled_total{tenant="${tenant}",sink="raw",outcome="delivered"}`);

  test("are those with the most traffic, wherever it was counted, not the first that came", async () => {
    const { send, settle, scrape } = gate(["a", "b", "c", "d"]);
    for (const tenant of ["a", "b", "c"]) send(tenant, 1);
    settle("d", 50);
    expect(settled(await scrape(), "other")).toBe(50);
    send("c", 100);
    settle("c", 100);
    settle("d", 200);
    await scrape();
    for (const tenant of ["a", "b", "c", "d"]) {
      send(tenant, 5);
      settle(tenant, 5);
    }
    const samples = await scrape(0);
    expect(["a", "b", "c", "d"].map((tenant) => accepted(samples, tenant))).toEqual([undefined, undefined, 5, 5]);
    expect(["a", "b", "c", "d"].map((tenant) => settled(samples, tenant))).toEqual([undefined, undefined, 5, 5]);
  });

  test("no counter falls when they change, and what is counted between two scrapes is counted once", async () => {
    const tenants = ["a", "b", "c", "d", "e"];
    const { send, settle, scrape } = gate(tenants);
    let before = await scrape();
    let rises = 0;
    for (let round = 1; round <= 40; round++) {
      for (const [i, tenant] of tenants.entries()) {
        const events = (round + i) % tenants.length === 0 ? 1_000 : 1;
        send(tenant, events);
        settle(tenant, events);
      }
      const samples = await scrape();
      rises = 0;
      for (const [series, value] of samples) {
        if (!/^pulsegate_(ingest_events|lane_settled)_total/.test(series)) continue;
        const was = before.get(series) ?? 0;
        expect(value).toBeGreaterThanOrEqual(was);
        rises += value - was;
      }
      expect(rises).toBeLessThanOrEqual(2 * 1_004);
      before = samples;
    }
  });

  test("stay while another has less than twice their traffic", async () => {
    const { send, scrape } = gate(["a", "b", "c"]);
    for (let round = 0; round < 5; round++) {
      for (const [tenant, events] of [
        ["a", 100],
        ["b", 100],
        ["c", 190],
      ] as const)
        send(tenant, events);
      const samples = await scrape();
      expect([accepted(samples, "a"), accepted(samples, "c")]).toEqual([100 * (round + 1), undefined]);
    }
  });

  test("are the configured ones before those that are gone", async () => {
    const metrics = createMetrics({ tenantLabelsMax: LABELS });
    metrics.tenants.configure([
      { id: "a", weight: 1 },
      { id: "gone", weight: 1 },
    ]);
    metrics.tenants.configure([
      { id: "a", weight: 1 },
      { id: "new", weight: 1 },
    ]);
    expect(metrics.tenants.names()).toEqual(["a", "new"]);
  });

  test("see their share of the door, received and owed, and what is in flight", async () => {
    const { send, scrape } = gate(["heavy", "light"]);
    send("heavy", 1, 500);
    send("light", 1, 1_500);
    const samples = await scrape(5_000);
    const share = (what: string, tenant: string) =>
      samples.get(`pulsegate_tenant_share_${what}_ratio{tenant="${tenant}"}`);
    expect([share("received", "heavy"), share("owed", "heavy")]).toEqual([0.25, 0.75]);
    expect([share("received", "light"), share("owed", "light")]).toEqual([0.75, 0.25]);
    const metrics = createMetrics();
    metrics.inFlight([
      ["a", 2_048],
      ["b", 10],
    ]);
    expect(samplesOf(await textOf(metrics)).get('pulsegate_tenant_in_flight_bytes{tenant="a"}')).toBe(2_048);
  });
});

test("metrics do not keep a worker thread alive", async () => {
  const module = JSON.stringify(new URL("./metrics.ts", import.meta.url).href);
  const source = `import(${module}).then(({ createMetrics }) => createMetrics().collect())`;
  const worker = new Worker(source, { eval: true });
  const [code] = (await once(worker, "exit")) as [number];
  expect(code).toBe(0);
});
