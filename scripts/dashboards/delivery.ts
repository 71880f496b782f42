import { type Dashboard, quantiles, rateBy } from "./panels.ts";

export const DELIVERY: Dashboard = {
  uid: "pulsegate-delivery",
  title: "PulseGate / Delivery",
  description: "Lanes and sinks: who is behind, which sink is slow or down, what became a dead letter.",
  byTenant: false,
  rows: [
    {
      title: "Lanes",
      panels: [
        {
          title: "Oldest unsettled event",
          description:
            "The ten lanes that are furthest behind, in time. The first thing to look at when deliveries are late.",
          unit: "s",
          queries: [
            { expr: "topk(10, max by (tenant, sink) (pulsegate_lane_lag_seconds))", legend: "{{tenant}}/{{sink}}" },
          ],
        },
        {
          title: "Backlog",
          description: "Accepted and not settled, by lane: the ten largest.",
          unit: "short",
          queries: [{ expr: "topk(10, sum by (tenant, sink) (pulsegate_stream_lag))", legend: "{{tenant}}/{{sink}}" }],
        },
        {
          title: "Settled",
          description: "By outcome: delivered, filtered (by a transform or a route), dead.",
          unit: "eps",
          queries: [rateBy("pulsegate_lane_settled_total", "outcome")],
          stacked: true,
        },
        {
          title: "Read to settled",
          description: "How long a batch takes from the log to its settlement.",
          unit: "s",
          queries: quantiles("pulsegate_worker_processing_time", "sink"),
        },
      ],
    },
    {
      title: "Sinks",
      panels: [
        {
          title: "Breakers that are not closed",
          description: "open: the lane waits for its sink and burns no attempts; half_open: it probes.",
          unit: "short",
          queries: [
            {
              expr: 'max by (tenant, sink, state) (pulsegate_sink_breaker_info{state!="closed"}) > 0',
              legend: "{{tenant}}/{{sink}} {{state}}",
            },
          ],
        },
        {
          title: "Delivery calls",
          description: "Time of single calls to a sink.",
          unit: "s",
          queries: quantiles("pulsegate_sink_delivery_seconds", "sink"),
        },
        {
          title: "Events per delivery",
          description: "Mean batch; grows under load.",
          unit: "short",
          queries: [
            {
              expr: "sum by (sink) (rate(pulsegate_sink_events_total[$__rate_interval])) / sum by (sink) (rate(pulsegate_sink_delivery_seconds_count[$__rate_interval]))",
              legend: "{{sink}}",
            },
          ],
        },
        {
          title: "Errors that are tried again",
          description: "By sink and code (SQLSTATE, HTTP status, errno).",
          unit: "eps",
          queries: [
            {
              expr: "sum by (sink, code) (rate(pulsegate_worker_errors_total[$__rate_interval]))",
              legend: "{{sink}} {{code}}",
            },
          ],
        },
      ],
    },
    {
      title: "Dead letters and replay",
      panels: [
        {
          title: "New dead letters",
          description: "By sink and stage. `pulsegate dlq groups` tells why.",
          unit: "eps",
          queries: [
            {
              expr: "sum by (sink, stage) (rate(pulsegate_dlq_events_total[$__rate_interval]))",
              legend: "{{sink}}: {{stage}}",
            },
          ],
        },
        {
          title: "Replayed",
          description: "Delivered again by replays and redrives.",
          unit: "eps",
          queries: [{ expr: "sum(rate(pulsegate_replay_events_total[$__rate_interval]))", legend: "events" }],
        },
      ],
    },
  ],
};
