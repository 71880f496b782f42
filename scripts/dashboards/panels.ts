/** One query of a panel; `legend` in Grafana's form, e.g. `{{tenant}}`. */
export interface Query {
  readonly expr: string;
  readonly legend: string;
}

export interface Panel {
  readonly title: string;
  /** What one should think when one looks at it. */
  readonly description: string;
  /** Grafana's unit id. */
  readonly unit: string;
  readonly queries: readonly Query[];
  readonly stacked?: boolean;
}

export interface Dashboard {
  readonly uid: string;
  readonly title: string;
  readonly description: string;
  /** Whether one tenant is chosen at the top; queries then have `tenant=~"$tenant"`. */
  readonly byTenant: boolean;
  readonly rows: ReadonlyArray<{ readonly title: string; readonly panels: readonly Panel[] }>;
}

/** Quantiles of a histogram, by the labels given. */
export function quantiles(metric: string, by: string, selector = ""): Query[] {
  const labels = by === "" ? "le" : `le, ${by}`;
  const prefix = by === "" ? "" : `{{${by}}} `;
  return [0.5, 0.99].map((quantile) => ({
    expr: `histogram_quantile(${quantile}, sum by (${labels}) (rate(${metric}_bucket${selector}[$__rate_interval])))`,
    legend: `${prefix}p${quantile * 100}`,
  }));
}

/** Events (or whatever it counts) per second, by a label. */
export function rateBy(metric: string, by: string, selector = ""): Query {
  return { expr: `sum by (${by}) (rate(${metric}${selector}[$__rate_interval]))`, legend: `{{${by}}}` };
}
