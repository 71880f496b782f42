import type { Dashboard } from "./panels.ts";

const TENANT = 'tenant=~"$tenant"';

export const TENANT_DASHBOARD: Dashboard = {
  uid: "pulsegate-tenant",
  title: "PulseGate / Tenant",
  description: "One tenant's story: what it sends, what it is refused, how its lanes do.",
  byTenant: true,
  rows: [
    {
      title: "At the door",
      panels: [
        {
          title: "Events by outcome",
          description: "Accepted, duplicate, or the code of the refusal.",
          unit: "eps",
          queries: [
            {
              expr: `sum by (code) (rate(pulsegate_ingest_events_total{${TENANT}}[$__rate_interval]))`,
              legend: "{{code}}",
            },
          ],
          stacked: true,
        },
        {
          title: "Refused for load or quota",
          description: "By reason. A quota's name: the tenant; anything else: us.",
          unit: "reqps",
          queries: [
            {
              expr: `sum by (reason) (rate(pulsegate_tenant_backpressure_total{${TENANT}}[$__rate_interval]))`,
              legend: "{{reason}}",
            },
          ],
        },
        {
          title: "Share of the door",
          description:
            "Of the bytes that got in, and what its weight gives it among those that sent anything. While the door is full, no less than owed.",
          unit: "percentunit",
          queries: [
            {
              expr: `avg by (tenant) (pulsegate_tenant_share_received_ratio{${TENANT}})`,
              legend: "{{tenant}} received",
            },
            { expr: `avg by (tenant) (pulsegate_tenant_share_owed_ratio{${TENANT}})`, legend: "{{tenant}} owed" },
          ],
        },
        {
          title: "In flight",
          description: "Requests under way at the door, and 1 KiB for each event of them.",
          unit: "bytes",
          queries: [{ expr: `sum by (tenant) (pulsegate_tenant_in_flight_bytes{${TENANT}})`, legend: "{{tenant}}" }],
        },
        {
          title: "Bytes taken in",
          description: "After decompression.",
          unit: "Bps",
          queries: [
            {
              expr: `sum by (tenant) (rate(pulsegate_ingest_events_bytes_total{${TENANT}}[$__rate_interval]))`,
              legend: "{{tenant}}",
            },
          ],
        },
      ],
    },
    {
      title: "Its lanes",
      panels: [
        {
          title: "Oldest unsettled event",
          description: "By sink.",
          unit: "s",
          queries: [{ expr: `max by (sink) (pulsegate_lane_lag_seconds{${TENANT}})`, legend: "{{sink}}" }],
        },
        {
          title: "Backlog",
          description: "Accepted and not settled, by sink.",
          unit: "short",
          queries: [{ expr: `sum by (sink) (pulsegate_stream_lag{${TENANT}})`, legend: "{{sink}}" }],
        },
        {
          title: "Settled",
          description: "By sink and outcome.",
          unit: "eps",
          queries: [
            {
              expr: `sum by (sink, outcome) (rate(pulsegate_lane_settled_total{${TENANT}}[$__rate_interval]))`,
              legend: "{{sink}} {{outcome}}",
            },
          ],
        },
        {
          title: "Retry ratio",
          description: "Events tried again for each one delivered. Above one in ten, a sink is in trouble.",
          unit: "percentunit",
          queries: [
            {
              expr: `sum by (sink) (rate(pulsegate_worker_errors_total{${TENANT}}[$__rate_interval])) / sum by (sink) (rate(pulsegate_lane_settled_total{${TENANT}, outcome="delivered"}[$__rate_interval]))`,
              legend: "{{sink}}",
            },
          ],
        },
        {
          title: "Breaker",
          description: "States other than closed.",
          unit: "short",
          queries: [
            {
              expr: `max by (sink, state) (pulsegate_sink_breaker_info{${TENANT}, state!="closed"}) > 0`,
              legend: "{{sink}} {{state}}",
            },
          ],
        },
        {
          title: "New dead letters",
          description: "By sink and stage.",
          unit: "eps",
          queries: [
            {
              expr: `sum by (sink, stage) (rate(pulsegate_dlq_events_total{${TENANT}}[$__rate_interval]))`,
              legend: "{{sink}}: {{stage}}",
            },
          ],
        },
      ],
    },
  ],
};
