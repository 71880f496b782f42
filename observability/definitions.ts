/**
 * Every metric, once: the registry and docs/reference/metrics.md are both made from this table.
 * The eight names of the founding document stand as written there; all others end in their unit.
 */
export interface MetricDefinition {
  readonly name: `pulsegate_${string}`;
  readonly type: "counter" | "gauge" | "histogram";
  readonly help: string;
  readonly unit: "events" | "requests" | "deliveries" | "commits" | "bytes" | "seconds" | "milliseconds" | "1";
  readonly labels: readonly string[];
  /** Most label combinations; further ones are counted under `other`. Bounds the whole registry. */
  readonly seriesMax: number;
  /** Upper bounds of a histogram's buckets, rising. */
  readonly buckets?: readonly number[];
  /** How the values of several threads become one. */
  readonly merge?: "sum" | "max";
}

const ACK_MS = [0.25, 0.5, 1, 2.5, 5, 10, 25, 50, 100, 250, 500, 1_000, 2_500, 5_000];
const FSYNC_SECONDS = [0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1, 5];
const SINK_SECONDS = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10, 30];

export const METRICS = {
  ingestRequests: {
    name: "pulsegate_ingest_requests_total",
    type: "counter",
    unit: "requests",
    labels: ["adapter", "tenant", "status"],
    seriesMax: 400,
    help: "Requests answered, by adapter, tenant and status. The tenant is empty until the credential is known.",
  },
  ingestLatency: {
    name: "pulsegate_ingest_latency_ms",
    type: "histogram",
    unit: "milliseconds",
    labels: ["adapter"],
    seriesMax: 3,
    buckets: ACK_MS,
    help: "Time from a request's arrival to its answer, which for an accepted event includes the durable write, in milliseconds.",
  },
  ingestEvents: {
    name: "pulsegate_ingest_events_total",
    type: "counter",
    unit: "events",
    labels: ["tenant", "code"],
    seriesMax: 350,
    help: "Events received, by what became of them: accepted, duplicate, or the error code of the refusal.",
  },
  ingestBytes: {
    name: "pulsegate_ingest_events_bytes_total",
    type: "counter",
    unit: "bytes",
    labels: ["tenant"],
    seriesMax: 110,
    help: "Bytes of the events received, after decompression.",
  },
  backpressure: {
    name: "pulsegate_tenant_backpressure_total",
    type: "counter",
    unit: "requests",
    labels: ["tenant", "reason"],
    seriesMax: 200,
    help: "Requests refused because of load or quota, not because of their content.",
  },
  streamLag: {
    name: "pulsegate_stream_lag",
    type: "gauge",
    unit: "events",
    labels: ["tenant", "sink"],
    seriesMax: 350,
    help: "Accepted events that the lane to this sink has not settled yet.",
  },
  laneLagSeconds: {
    name: "pulsegate_lane_lag_seconds",
    type: "gauge",
    unit: "seconds",
    labels: ["tenant", "sink"],
    seriesMax: 350,
    merge: "max",
    help: "Age of the oldest event that the lane to this sink has not settled; 0 when there is none.",
  },
  sinkBreaker: {
    name: "pulsegate_sink_breaker_info",
    type: "gauge",
    unit: "1",
    labels: ["tenant", "sink", "state"],
    seriesMax: 350,
    merge: "max",
    help: "1 for the state that the lane's circuit breaker is in: closed, half_open (probing), open (waiting for the sink).",
  },
  processingTime: {
    name: "pulsegate_worker_processing_time",
    type: "histogram",
    unit: "seconds",
    labels: ["sink"],
    seriesMax: 20,
    buckets: SINK_SECONDS,
    help: "Time from reading a batch out of the log to its settlement, in seconds.",
  },
  deliverySeconds: {
    name: "pulsegate_sink_delivery_seconds",
    type: "histogram",
    unit: "seconds",
    labels: ["sink", "plugin"],
    seriesMax: 20,
    buckets: SINK_SECONDS,
    help: "Duration of single delivery calls to a sink, in seconds.",
  },
  deliveryEvents: {
    name: "pulsegate_sink_events_total",
    type: "counter",
    unit: "events",
    labels: ["sink", "plugin"],
    seriesMax: 60,
    help: "Events handed to a sink, repeats included. Divided by the count of deliveries: the mean batch.",
  },
  settled: {
    name: "pulsegate_lane_settled_total",
    type: "counter",
    unit: "events",
    labels: ["tenant", "sink", "outcome"],
    seriesMax: 400,
    help: "Events settled by a lane: delivered, filtered or dead.",
  },
  workerErrors: {
    name: "pulsegate_worker_errors_total",
    type: "counter",
    unit: "events",
    labels: ["tenant", "sink", "stage", "code"],
    seriesMax: 300,
    help: "Events that failed and were or will be tried again, by stage and code.",
  },
  dlqEvents: {
    name: "pulsegate_dlq_events_total",
    type: "counter",
    unit: "events",
    labels: ["tenant", "sink", "stage"],
    seriesMax: 250,
    help: "Events that a lane gave up on and kept as dead letters.",
  },
  replayEvents: {
    name: "pulsegate_replay_events_total",
    type: "counter",
    unit: "events",
    labels: ["tenant", "sink", "outcome"],
    seriesMax: 400,
    help: "Events settled by replays, redrives and backfills: delivered, filtered, or failed (a dead letter, new or still).",
  },
  ledgerImbalance: {
    name: "pulsegate_ledger_imbalance",
    type: "gauge",
    unit: "events",
    labels: [],
    seriesMax: 1,
    help: "Events by which lanes' accounts (accepted = delivered + filtered + dead + erased + pending) are off, of all lanes: 0, always.",
  },
  commits: {
    name: "pulsegate_log_commits_total",
    type: "counter",
    unit: "commits",
    labels: [],
    seriesMax: 1,
    help: "Group commits of the ingestion log.",
  },
  commitEvents: {
    name: "pulsegate_log_commit_events_total",
    type: "counter",
    unit: "events",
    labels: [],
    seriesMax: 1,
    help: "Events in group commits. Divided by the number of commits: the mean batch.",
  },
  commitBytes: {
    name: "pulsegate_log_commit_bytes",
    type: "histogram",
    unit: "bytes",
    labels: [],
    seriesMax: 1,
    buckets: [1_024, 4_096, 16_384, 65_536, 262_144, 1_048_576, 4_194_304, 16_777_216],
    help: "Size of group commits, in bytes.",
  },
  commitWait: {
    name: "pulsegate_log_commit_wait_seconds",
    type: "histogram",
    unit: "seconds",
    labels: [],
    seriesMax: 1,
    buckets: FSYNC_SECONDS,
    help: "Time that the first event of a group commit waited before its write began, in seconds.",
  },
  commitSync: {
    name: "pulsegate_log_sync_seconds",
    type: "histogram",
    unit: "seconds",
    labels: [],
    seriesMax: 1,
    buckets: FSYNC_SECONDS,
    help: "Duration of the durable write (write and fsync) of a group commit, in seconds.",
  },
  logFailures: {
    name: "pulsegate_log_failures_total",
    type: "counter",
    unit: "1",
    labels: ["code"],
    seriesMax: 20,
    help: "Failed operations of the ingestion log, by error code.",
  },
  logAlarm: {
    name: "pulsegate_log_alarm_info",
    type: "gauge",
    unit: "1",
    labels: ["alarm"],
    seriesMax: 2,
    merge: "max",
    help: "1 while an alarm of the log's backend stands: `lost`: it lost what it held; `unsafe`: it may lose what it is given.",
  },
  dedupWindow: {
    name: "pulsegate_log_dedup_window_seconds",
    type: "gauge",
    unit: "seconds",
    labels: [],
    seriesMax: 1,
    merge: "max",
    help: "Age of the oldest id that deduplication still recognises, in seconds.",
  },
  dedupBytes: {
    name: "pulsegate_log_dedup_bytes",
    type: "gauge",
    unit: "bytes",
    labels: [],
    seriesMax: 1,
    help: "Memory that deduplication uses, in bytes.",
  },
  pluginCounts: {
    name: "pulsegate_plugin_events_total",
    type: "counter",
    unit: "1",
    labels: ["plugin", "name"],
    seriesMax: 80,
    help: "What plugins count for themselves, by the plugin's name and the count's.",
  },
  pluginSeconds: {
    name: "pulsegate_plugin_seconds",
    type: "histogram",
    unit: "seconds",
    labels: ["plugin", "name"],
    seriesMax: 20,
    buckets: SINK_SECONDS,
    help: "What plugins time for themselves, in seconds, by the plugin's name and the timing's.",
  },
  configRevision: {
    name: "pulsegate_config_revision_info",
    type: "gauge",
    unit: "1",
    labels: ["revision"],
    seriesMax: 1,
    merge: "max",
    help: "1 for the number of the configuration revision that is running.",
  },
  configRefused: {
    name: "pulsegate_config_refused_total",
    type: "counter",
    unit: "1",
    labels: [],
    seriesMax: 1,
    help: "Changes of the configuration that were refused because they are not valid.",
  },
  quotaSharing: {
    name: "pulsegate_quota_sharing_info",
    type: "gauge",
    unit: "1",
    labels: ["state", "processes"],
    seriesMax: 2,
    merge: "max",
    help: "1 for how quotas are kept over processes: shared, or alone while the others can't be reached, each with an equal part; and for how many processes take events, as far as is known.",
  },
  buildInfo: {
    name: "pulsegate_build_info",
    type: "gauge",
    unit: "1",
    labels: ["version", "node"],
    seriesMax: 1,
    merge: "max",
    help: "1 for the version of PulseGate and of Node.js that is running.",
  },
} as const satisfies Record<string, MetricDefinition>;

export type MetricKey = keyof typeof METRICS;
