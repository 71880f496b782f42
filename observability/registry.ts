import type { Metric, Registry } from "@prometheus-io/client";
import { METRICS } from "./definitions.ts";
import type { MetricDefinition, MetricKey } from "./definitions.ts";
import { HistogramFamily, NumberFamily } from "./families.ts";
import type { Family, LabelCap } from "./families.ts";
import type { TenantLabels } from "./tenant-labels.ts";

export type Families = { readonly [K in MetricKey]: FamilyOf<(typeof METRICS)[K]> };
type FamilyOf<D extends MetricDefinition> = D["type"] extends "histogram" ? HistogramFamily : NumberFamily;

/** The label caps that all families of one registry share. */
export interface LabelCaps {
  readonly tenants: TenantLabels;
  readonly sinks: LabelCap;
}

/** Makes every metric of the table and registers it. */
export function createFamilies(registry: Registry): Families {
  const families = Object.entries(METRICS).map(([key, definition]: [string, MetricDefinition]): [string, Family] => {
    const family = definition.type === "histogram" ? new HistogramFamily(definition) : new NumberFamily(definition);
    // The registry asks a metric for its name and its samples alone; its type names a class that
    // counts by hashing labels on every call, which the hot path can't afford.
    registry.registerMetric(family as unknown as Metric<string>);
    return [key, family];
  });
  return Object.fromEntries(families) as unknown as Families;
}
