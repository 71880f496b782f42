import { readFileSync } from "node:fs";
import { resolve } from "node:path";
import { parser } from "@prometheus-io/lezer-promql";
import { beforeAll, describe, expect, it } from "vitest";
import { parse } from "yaml";
import { METRICS, type MetricDefinition } from "../observability/definitions.ts";
import { createMetrics } from "../observability/metrics.ts";
import { DASHBOARDS } from "./generate-dashboards.ts";
import { grafanaJson } from "./dashboards/grafana.ts";

const ROOT = resolve(import.meta.dirname, "..");
/** What Prometheus itself adds to whatever it scrapes. */
const OF_PROMETHEUS = { names: ["up"], labels: ["job", "instance"] };

interface Alert {
  readonly alert: string;
  readonly expr: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly annotations: Readonly<Record<string, string>>;
}

const rules = parse(readFileSync(resolve(ROOT, "deploy/prometheus/alerts.yaml"), "utf8")) as {
  groups: Array<{ rules: Alert[] }>;
};
const alerts = rules.groups.flatMap((group) => group.rules);

/** Names that a running program exposes, with the labels of each that we define. */
const exposed = new Map<string, readonly string[] | undefined>();
beforeAll(async () => {
  const text = await createMetrics({ build: { version: "0", node: "v0" } }).text([]);
  for (const [, name = ""] of text.matchAll(/^# TYPE (\S+) (?!histogram)/gm)) exposed.set(name, undefined);
  for (const definition of Object.values<MetricDefinition>(METRICS)) {
    const suffixes = definition.type === "histogram" ? ["_bucket", "_sum", "_count"] : [""];
    const labels = definition.type === "histogram" ? [...definition.labels, "le"] : definition.labels;
    for (const suffix of suffixes) exposed.set(definition.name + suffix, labels);
  }
  for (const name of OF_PROMETHEUS.names) exposed.set(name, undefined);
});

/** What is wrong with a query: not PromQL, a metric that is not exposed, a label that it does not have. */
function faultsOf(expr: string): string[] {
  const text = expr.replaceAll("$__rate_interval", "5m").replaceAll("$tenant", "x");
  const faults: string[] = [];
  const names: string[] = [];
  const labels: string[] = [];
  parser.parse(text).iterate({
    enter(node) {
      const part = text.slice(node.from, node.to);
      if (node.type.isError) faults.push(`not PromQL near ${JSON.stringify(text.slice(node.from, node.from + 20))}`);
      if (node.name === "Identifier") names.push(part);
      if (node.name === "LabelName") labels.push(part);
    },
  });
  if (names.length === 0) faults.push("no metric");
  const known = names.flatMap((name) => exposed.get(name) ?? []);
  for (const name of names) if (!exposed.has(name)) faults.push(`${name} is not exposed`);
  for (const label of labels)
    if (!known.includes(label) && !OF_PROMETHEUS.labels.includes(label)) faults.push(`no label ${label}`);
  return faults;
}

describe("the judge of queries", () => {
  it("finds what is not there", () => {
    expect(faultsOf("rate(pulsegate_no_such_total[5m])")).toEqual(["pulsegate_no_such_total is not exposed"]);
    expect(faultsOf("sum by (colour) (pulsegate_stream_lag)")).toEqual(["no label colour"]);
    expect(faultsOf("sum(pulsegate_log_sync_seconds)")).toEqual(["pulsegate_log_sync_seconds is not exposed"]);
    expect(faultsOf("sum(rate(pulsegate_stream_lag[5m])")).not.toEqual([]);
  });
});

describe.each(Object.entries(DASHBOARDS))("the dashboard %s", (name, dashboard) => {
  it("asks only for metrics and labels that PulseGate exposes", () => {
    for (const { panels } of dashboard.rows)
      for (const { title, queries } of panels)
        for (const { expr } of queries) expect(faultsOf(expr), `${title}: ${expr}`).toEqual([]);
  });

  it("is current", () => {
    expect(readFileSync(resolve(ROOT, "deploy/grafana", name), "utf8")).toBe(grafanaJson(dashboard));
  });
});

describe("the alert rules", () => {
  it("ask only for metrics and labels that PulseGate exposes", () => {
    expect(alerts.length).toBeGreaterThan(0);
    for (const { alert, expr } of alerts) expect(faultsOf(expr), alert).toEqual([]);
  });

  it("say what happened and what to do", () => {
    for (const { alert, labels, annotations } of alerts) {
      expect(Object.keys(annotations), alert).toEqual(["summary", "action"]);
      expect(["page", "ticket"]).toContain(labels["severity"]);
    }
  });

  it("name only labels that their query keeps", () => {
    for (const { alert, expr, annotations } of alerts)
      for (const [, label = ""] of Object.values(annotations)
        .join()
        .matchAll(/\$labels\.(\w+)/g))
        expect(expr.includes(label) || OF_PROMETHEUS.labels.includes(label), `${alert}: ${label}`).toBe(true);
  });
});
