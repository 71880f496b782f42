import { Registry } from "@prometheus-io/client";
import { METRICS } from "./definitions.ts";
import type { MetricDefinition } from "./definitions.ts";
import { LabelCap, OTHER } from "./families.ts";

/** Metrics of one thread as plain data, to be posted to the main thread and merged there. */
export type MetricsSnapshot = ReadonlyArray<object>;

export const METRICS_CONTENT_TYPE = Registry.PROMETHEUS_CONTENT_TYPE;

/** Most tenants with labels of their own. */
export const TENANT_LABELS_MAX = 100;

/**
 * Prometheus text of several threads' metrics as if they were one. Each thread keeps its bounds, but
 * to names of its own: here the same bounds are kept over all of them.
 */
export async function mergeMetrics(
  snapshots: readonly MetricsSnapshot[],
  { tenantLabelsMax = TENANT_LABELS_MAX }: { readonly tenantLabelsMax?: number } = {},
): Promise<string> {
  const tenants = new LabelCap(tenantLabelsMax);
  const series = new Map<string, LabelCap>();
  const bounded = snapshots.map((snapshot) =>
    (snapshot as readonly MetricData[]).map((metric) => {
      const definition = DEFINITIONS.get(metric.name);
      if (definition === undefined) return metric;
      const cap = series.get(metric.name) ?? new LabelCap(definition.seriesMax);
      series.set(metric.name, cap);
      return {
        ...metric,
        values: metric.values.map((sample) => withBounds(sample, { definition, tenants, series: cap })),
      };
    }),
  );
  return Registry.aggregate(bounded).metrics();
}

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
  const values = definition.labels.map((label) => String(labels[label])).join("\u0000");
  if (definition.labels.length === 0 || series.of(values) === values) return { ...sample, labels };
  const others = Object.fromEntries(definition.labels.map((label) => [label, OTHER]));
  return { ...sample, labels: { ...labels, ...others } };
}
