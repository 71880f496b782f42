import { type Dashboard, quantiles, rateBy } from "./panels.ts";

export const INGEST: Dashboard = {
  uid: "pulsegate-ingest",
  title: "PulseGate / Ingest",
  description:
    "The front door and the ingestion log: what comes in, how fast it is acknowledged, what is refused and why.",
  byTenant: false,
  rows: [
    {
      title: "The door",
      panels: [
        {
          title: "Events by outcome",
          description:
            "Accepted, duplicate, or the code of the refusal. What is not accepted is the sender's to mend, unless it is 503.",
          unit: "eps",
          queries: [rateBy("pulsegate_ingest_events_total", "code")],
          stacked: true,
        },
        {
          title: "Requests by status",
          description: "2xx are durable. 429 is a tenant over its quota, 503 is us.",
          unit: "reqps",
          queries: [rateBy("pulsegate_ingest_requests_total", "status")],
          stacked: true,
        },
        {
          title: "Time to acknowledge",
          description: "From a request's arrival to its answer; the durable write is in it.",
          unit: "ms",
          queries: quantiles("pulsegate_ingest_latency_ms", "adapter"),
        },
        {
          title: "Refused for load or quota",
          description: "By reason: a quota's name, or `overloaded`, `log_full`, `log_unavailable`, `connections`.",
          unit: "reqps",
          queries: [rateBy("pulsegate_tenant_backpressure_total", "reason")],
        },
        {
          title: "Busiest tenants",
          description: "The ten tenants that send most.",
          unit: "eps",
          queries: [
            {
              expr: 'topk(10, sum by (tenant) (rate(pulsegate_ingest_events_total{code="accepted"}[$__rate_interval])))',
              legend: "{{tenant}}",
            },
          ],
        },
        {
          title: "Bytes taken in",
          description: "After decompression.",
          unit: "Bps",
          queries: [{ expr: "sum(rate(pulsegate_ingest_events_bytes_total[$__rate_interval]))", legend: "bytes" }],
        },
      ],
    },
    {
      title: "The log",
      panels: [
        {
          title: "Durable write",
          description: "One group commit: the write and its fsync. When this grows, everything does: look at the disk.",
          unit: "s",
          queries: quantiles("pulsegate_log_sync_seconds", ""),
        },
        {
          title: "Wait before the write",
          description:
            "How long a commit's first event waited. Above 200 ms and two writes there is a queue, and tenants over their share are shed.",
          unit: "s",
          queries: quantiles("pulsegate_log_commit_wait_seconds", ""),
        },
        {
          title: "Events per commit",
          description: "Grows with load; that is what keeps the log fast.",
          unit: "short",
          queries: [
            {
              expr: "sum(rate(pulsegate_log_commit_events_total[$__rate_interval])) / sum(rate(pulsegate_log_commits_total[$__rate_interval]))",
              legend: "events",
            },
          ],
        },
        {
          title: "Failures of the log",
          description:
            "log_full mends itself once there is room; after log_unavailable the process stops and must be started again.",
          unit: "short",
          queries: [rateBy("pulsegate_log_failures_total", "code")],
        },
        {
          title: "Deduplication window",
          description:
            "Age of the oldest id that is still recognised. Below the configured window, its memory is used up.",
          unit: "s",
          queries: [{ expr: "min(pulsegate_log_dedup_window_seconds)", legend: "window" }],
        },
        {
          title: "Memory and CPU of the process",
          description: "CPU in cores.",
          unit: "short",
          queries: [
            {
              expr: "sum by (instance) (rate(process_cpu_seconds_total[$__rate_interval]))",
              legend: "{{instance}} cores",
            },
            { expr: "sum by (instance) (process_resident_memory_bytes) / 1073741824", legend: "{{instance}} GiB" },
          ],
        },
      ],
    },
  ],
};
