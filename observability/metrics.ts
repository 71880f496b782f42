import { collectDefaultMetrics, Registry } from "@prometheus-io/client";
import type { Clock } from "../core/environment.ts";
import type { IngestMetrics, LaneMetrics, LogMetrics, RetentionMetrics } from "../core/ingestion/metrics.ts";
import type { PluginMetrics } from "../plugins/contract.ts";
import { LabelCap } from "./families.ts";
import { ingestMetrics } from "./ingest-metrics.ts";
import { laneMetrics } from "./lane-metrics.ts";
import { MetricsMerge } from "./merge.ts";
import type { MetricsSnapshot } from "./merge.ts";
import { pluginMetrics } from "./plugin-metrics.ts";
import { createFamilies } from "./registry.ts";
import type { Families } from "./registry.ts";
import { systemClock } from "./system-clock.ts";
import { TENANT_LABELS_MAX, TenantLabels } from "./tenant-labels.ts";
import { Tenants } from "./tenants.ts";

export interface MetricsOptions {
  readonly clock?: Pick<Clock, "monotonic">;
  /** Most tenants with labels of their own; the rest are `other`. */
  readonly tenantLabelsMax?: number;
  /** Most sink ids with labels of their own; the rest are `other`. */
  readonly sinkLabelsMax?: number;
  /** Adds the process's own figures (CPU, memory, event loop): once per process, on the main thread. */
  readonly build?: { readonly version: string; readonly node: string };
}

export interface Metrics {
  readonly ingest: IngestMetrics;
  readonly log: LogMetrics;
  readonly retention: RetentionMetrics;
  readonly lanes: LaneMetrics;
  /** What a plugin of this name counts and times for itself. */
  plugin(name: string): PluginMetrics;
  /** What all lanes' accounts are off by, in events. */
  ledger(imbalance: number): void;
  readonly config: { running(revision: number): void; refused(): void };
  /** How this process shares the quotas with others that take events. */
  sharing(state: { readonly sharing: string; readonly processes: number }): void;
  /** What is under way at the door, told anew before each scrape. */
  inFlight(costs: Iterable<readonly [tenantId: string, bytes: number]>): void;
  readonly tenants: TenantMetrics;
  /** The state of this thread's metrics now. */
  collect(): Promise<MetricsSnapshot>;
  /** One text of this thread's metrics and those of others, which follow what it decided. */
  text(others: readonly ThreadSnapshot[]): Promise<string>;
}

/** Which tenants have labels of their own: one thread decides, and the others follow. */
export interface TenantMetrics {
  /** The tenants of the running configuration. */
  configure(tenants: ReadonlyArray<{ readonly id: string; readonly weight: number }>): void;
  /** Who has labels now. */
  names(): readonly string[];
  /** Decides anew, before a scrape, who has labels from now on. */
  decide(): readonly string[];
  follow(tenantIds: readonly string[]): void;
  /** Events settled since the last call, of all tenants. */
  takeTraffic(): ReadonlyArray<readonly [string, number]>;
}

/** What a thread answers to a scrape. */
export interface ThreadSnapshot {
  readonly metrics: MetricsSnapshot;
  readonly traffic: ReadonlyArray<readonly [string, number]>;
}

const SINK_LABELS_MAX = 50;
/** How often the library looks at the event loop, in ms. As it comes, every 10 and 100: half of what an idle process costs. */
const SELDOM = { eventLoopMonitoringPrecision: 100, eventLoopUtilizationTimeout: 1_000 };

/** A registry of its own with every metric of the table; nothing global is touched. */
export function createMetrics(options: MetricsOptions = {}): Metrics {
  const registry = new Registry();
  const families = createFamilies(registry);
  const { tenantLabelsMax = TENANT_LABELS_MAX, sinkLabelsMax = SINK_LABELS_MAX, clock = systemClock } = options;
  const merge = new MetricsMerge({ tenantLabelsMax });
  const labels = new TenantLabels(tenantLabelsMax, (lost) => {
    for (const family of Object.values(families)) family.forget("tenant", lost);
    ingest.rebind();
    merge.forget(lost);
  });
  const caps = { tenants: labels, sinks: new LabelCap(sinkLabelsMax) };
  const lanes = laneMetrics(families, caps);
  const ingest = ingestMetrics(families, caps);
  const tenants = new Tenants({ families, labels, door: ingest, lanes, clock });
  const collect = async (): Promise<MetricsSnapshot> => {
    lanes.refresh();
    return registry.getMetricsAsJSON();
  };
  if (options.build !== undefined) {
    collectDefaultMetrics({ register: registry, ...SELDOM });
    families.buildInfo.cell(options.build.version, options.build.node).value = 1;
  }
  return {
    ingest,
    log: logMetrics(families),
    retention: retentionMetrics(families, labels),
    lanes,
    plugin: pluginMetrics(families),
    ledger: ledgerMetrics(families),
    config: configMetrics(families),
    sharing: ({ sharing, processes }) => {
      families.quotaSharing.clear();
      families.quotaSharing.cell(sharing, String(processes)).value = 1;
    },
    inFlight: (costs) => {
      families.inFlight.clear();
      for (const [tenantId, bytes] of costs) families.inFlight.cell(labels.of(tenantId)).value += bytes;
    },
    tenants: {
      configure: (all) => tenants.configure(all),
      names: () => labels.names(),
      decide: () => {
        tenants.look();
        return labels.names();
      },
      follow: (names) => labels.follow(names),
      takeTraffic: () => [...lanes.takeTraffic()],
    },
    collect,
    text: async (others) => {
      for (const { traffic } of others) tenants.add(traffic);
      return merge.text([await collect(), ...others.map(({ metrics }) => metrics)]);
    },
  };
}

function logMetrics(families: Families): LogMetrics {
  const commits = families.commits.cell();
  const events = families.commitEvents.cell();
  const bytes = families.commitBytes.cell();
  const wait = families.commitWait.cell();
  const sync = families.commitSync.cell();
  const window = families.dedupWindow.cell();
  const memory = families.dedupBytes.cell();
  return {
    commit: (commit) => {
      commits.value++;
      events.value += commit.entries;
      bytes.observe(commit.bytes);
      wait.observe(commit.waitSeconds);
      sync.observe(commit.syncSeconds);
    },
    dedup: (state) => {
      window.value = state.windowSeconds;
      memory.value = state.bytes;
    },
    failed: (code) => {
      families.logFailures.cell(code).value++;
    },
    alarm: (alarm, raised) => {
      families.logAlarm.cell(alarm).value = raised ? 1 : 0;
    },
  };
}

function retentionMetrics(families: Families, labels: Pick<TenantLabels, "of">): RetentionMetrics {
  const used = families.diskUsed.cell();
  const full = families.diskFull.cell();
  return {
    disk: ({ usedBytes, fullAtBytes = 0 }) => {
      used.value = usedBytes;
      full.value = fullAtBytes;
    },
    stored: (byTenant) => {
      families.storedBytes.clear();
      for (const [tenantId, stored] of byTenant) families.storedBytes.cell(labels.of(tenantId)).value += stored;
    },
    dropped: (tenantId, count) => {
      families.dropped.cell(labels.of(tenantId)).value += count;
    },
  };
}

function ledgerMetrics(families: Families): Metrics["ledger"] {
  const cell = families.ledgerImbalance.cell();
  return (imbalance) => {
    cell.value = imbalance;
  };
}

function configMetrics(families: Families): Metrics["config"] {
  return {
    running: (revision) => {
      families.configRevision.clear();
      families.configRevision.cell(String(revision)).value = 1;
    },
    refused: () => {
      families.configRefused.cell().value++;
    },
  };
}

export type { MetricsSnapshot } from "./merge.ts";
export { METRICS_CONTENT_TYPE } from "./merge.ts";
