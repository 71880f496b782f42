import { describe, expect, it } from "vitest";
import { parseExposition } from "./exposition.ts";
import { renderTop, shortNumber, shortTime } from "./render.ts";
import { SORTS, topRows } from "./rows.ts";

const BEFORE = `
# HELP pulsegate_ingest_events_total Events
# TYPE pulsegate_ingest_events_total counter
pulsegate_ingest_events_total{tenant="shop",code="accepted"} 100
pulsegate_ingest_events_total{tenant="quiet",code="accepted"} 7
pulsegate_lane_settled_total{tenant="shop",sink="raw",outcome="delivered"} 50
`;
const NOW = `
pulsegate_ingest_events_total{tenant="shop",code="accepted"} 300
pulsegate_ingest_events_total{tenant="shop",code="invalid_event"} 4
pulsegate_ingest_events_total{tenant="quiet",code="accepted"} 3
pulsegate_tenant_backpressure_total{tenant="shop",reason="events"} 10
pulsegate_tenant_backpressure_total{tenant="shop",reason="bytes"} 2
pulsegate_lane_settled_total{tenant="shop",sink="raw",outcome="delivered"} 170
pulsegate_lane_settled_total{tenant="shop",sink="raw",outcome="dead"} 2
pulsegate_worker_errors_total{tenant="shop",sink="raw",stage="sink postgres_sink",code="53300"} 6
pulsegate_stream_lag{tenant="shop",sink="raw"} 1200
pulsegate_stream_lag{tenant="shop",sink="hook"} 0
pulsegate_lane_lag_seconds{tenant="shop",sink="raw"} 95.5
pulsegate_sink_breaker_info{tenant="shop",sink="raw",state="open"} 1
pulsegate_sink_breaker_info{tenant="shop",sink="hook",state="closed"} 1
`;
const rows = (sort: (typeof SORTS)[number]) =>
  topRows({ samples: parseExposition(BEFORE), at: 10 }, { samples: parseExposition(NOW), at: 12 }, sort);

describe("the rows of top", () => {
  it("are rates between two looks, and what is so now", () => {
    const [raw] = rows("backlog");
    expect(raw).toEqual({
      tenant: "shop",
      accepted_per_second: 100,
      refused_per_second: 6,
      sink: "raw",
      delivered_per_second: 60,
      filtered_per_second: 0,
      dead_per_second: 1,
      retried_per_second: 3,
      backlog_events: 1200,
      oldest_seconds: 95.5,
      breaker: "open",
    });
  });

  it("hold tenants without lanes, too, and survive a restart of the counters", () => {
    expect(rows("in").find(({ tenant }) => tenant === "quiet")).toMatchObject({ sink: null, accepted_per_second: 1.5 });
  });

  it("come in the order asked for", () => {
    const order = (sort: (typeof SORTS)[number]) => rows(sort).map(({ tenant, sink }) => `${tenant}/${sink ?? ""}`);
    expect(order("tenant")).toEqual(["quiet/", "shop/hook", "shop/raw"]);
    expect(order("oldest")[0]).toBe("shop/raw");
    expect(order("in")).toEqual(["shop/hook", "shop/raw", "quiet/"]);
  });
});

it("reads labels with quotes, backslashes and line breaks", () => {
  expect(parseExposition('a_total{x="a\\"b\\\\c\\nd",y=""} 1.5e3\n# a comment\nup 1\nnonsense')).toEqual([
    { name: "a_total", labels: { x: 'a"b\\c\nd', y: "" }, value: 1500 },
    { name: "up", labels: {}, value: 1 },
  ]);
});

describe("the table of top", () => {
  it("fits 80 columns and the lines that there are, whatever it holds", () => {
    const many = Array.from({ length: 40 }, () => ({
      ...rows("in")[0]!,
      tenant: "t".repeat(100),
      backlog_events: 1e15,
    }));
    const lines = renderTop(many, 20).split("\n");
    expect(lines.length).toBeLessThanOrEqual(20);
    expect(lines.at(-1)).toBe("… and 22 more");
    for (const line of lines) expect(line.length).toBeLessThanOrEqual(80);
  });

  it("shows one line for each", () => {
    expect(renderTop(rows("backlog"), 24)).toMatchInlineSnapshot(`
      "TENANT          IN/S  REF/S SINK           OUT/S BACKLOG OLDEST RETRY/S BREAKER
      shop             100      6 raw               60    1.2k    96s       3 open
      quiet            1.5      0 -                  0       0     0s       0 -
      shop             100      6 hook               0       0     0s       0 closed"
    `);
  });

  it.each([
    [0, "0"],
    [0.44, "0.4"],
    [12, "12"],
    [999.4, "999"],
    [999.6, "1.0k"],
    [45_300, "45k"],
    [3_140_000, "3.1M"],
  ])("writes %d as %s", (value, text) => expect(shortNumber(value)).toBe(text));

  it.each([
    [0, "0s"],
    [0.34, "340ms"],
    [12.4, "12s"],
    [119, "119s"],
    [300, "5m"],
    [10_000, "3h"],
    [200_000, "2d"],
  ])("writes %d seconds as %s", (value, text) => expect(shortTime(value)).toBe(text));
});
