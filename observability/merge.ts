import { Registry } from "@prometheus-io/client";
import { METRICS } from "./definitions.ts";
import type { MetricDefinition } from "./definitions.ts";
import { LabelCap, OTHER } from "./families.ts";
import { TENANT_LABELS_MAX } from "./tenant-labels.ts";

/** Metrics of one thread as plain data, to be posted to the main thread and merged there. */
export type MetricsSnapshot = ReadonlyArray<object>;

export const METRICS_CONTENT_TYPE = Registry.PROMETHEUS_CONTENT_TYPE;

/**
 * Makes one Prometheus text of several threads' metrics. Each thread keeps its bounds, but to names of its own:
 * here the same bounds are kept over all of them. What was once counted under `other` stays there.
 */
export class MetricsMerge {
  readonly #tenantLabelsMax: number;
  readonly #series = new Map<string, LabelCap>();

  constructor({ tenantLabelsMax = TENANT_LABELS_MAX }: { readonly tenantLabelsMax?: number } = {}) {
    this.#tenantLabelsMax = tenantLabelsMax;
  }

  async text(snapshots: readonly MetricsSnapshot[]): Promise<string> {
    const tenants = new LabelCap(this.#tenantLabelsMax);
    const bounded = snapshots.map((snapshot) =>
      (snapshot as readonly MetricData[]).map((metric) => {
        const definition = DEFINITIONS.get(metric.name);
        if (definition === undefined) return metric;
        const series = this.#series.get(metric.name) ?? new LabelCap(definition.seriesMax);
        this.#series.set(metric.name, series);
        return {
          ...metric,
          values: metric.values.map((sample) => withBounds(sample, { definition, tenants, series })),
        };
      }),
    );
    return Registry.aggregate(bounded).metrics();
  }

  /** These tenants have no labels any more: their series make room. */
  forget(tenantIds: ReadonlySet<string>): void {
    for (const [name, series] of this.#series) {
      const at = DEFINITIONS.get(name)?.labels.indexOf("tenant") ?? -1;
      if (at !== -1) series.forget((values) => tenantIds.has(values.split(SEPARATOR)[at] ?? ""));
    }
  }
}

const SEPARATOR = "\u0000";

const DEFINITIONS: ReadonlyMap<string, MetricDefinition> = new Map(
  Object.values(METRICS).map((definition) => [definition.name, definition]),
);

interface MetricData {
  readonly name: string;
  readonly values: readonly SampleData[];
}

interface SampleData {
  readonly labels: Readonly<Record<string, string | number>>;
}

interface Bounds {
  readonly definition: MetricDefinition;
  readonly tenants: LabelCap;
  /** By label values, without a histogram's `le`. */
  readonly series: LabelCap;
}

function withBounds(sample: SampleData, { definition, tenants, series }: Bounds): SampleData {
  const { tenant } = sample.labels;
  // No tenant, and `other`, are no tenant of their own.
  const named = typeof tenant === "string" && tenant !== "" && tenant !== OTHER;
  const labels = named ? { ...sample.labels, tenant: tenants.of(tenant) } : sample.labels;
  const values = definition.labels.map((label) => String(labels[label])).join(SEPARATOR);
  if (definition.labels.length === 0 || series.of(values) === values) return { ...sample, labels };
  const others = Object.fromEntries(definition.labels.map((label) => [label, OTHER]));
  return { ...sample, labels: { ...labels, ...others } };
}
