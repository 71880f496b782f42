import type { Sample } from "./exposition.ts";

/** One lane of a tenant with its tenant's figures, or a tenant without lanes. Rates are per second. */
export interface TopRow {
  readonly tenant: string;
  readonly accepted_per_second: number;
  /** Of requests, for load or quota. */
  readonly refused_per_second: number;
  readonly sink: string | null;
  readonly delivered_per_second: number;
  readonly filtered_per_second: number;
  readonly dead_per_second: number;
  /** Events that failed and are tried again. */
  readonly retried_per_second: number;
  readonly backlog_events: number;
  readonly oldest_seconds: number;
  readonly breaker: string | null;
}

export const SORTS = ["in", "out", "refused", "backlog", "oldest", "retried", "tenant"] as const;
export type Sort = (typeof SORTS)[number];

const KEYS: Readonly<Record<Exclude<Sort, "tenant">, keyof TopRow>> = {
  in: "accepted_per_second",
  out: "delivered_per_second",
  refused: "refused_per_second",
  backlog: "backlog_events",
  oldest: "oldest_seconds",
  retried: "retried_per_second",
};

export interface Scrape {
  readonly samples: readonly Sample[];
  /** Seconds; only the difference between two counts. */
  readonly at: number;
}

/** What happened between two looks, the largest first by `sort`. */
export function topRows(before: Scrape, now: Scrape, sort: Sort): TopRow[] {
  const rate = rates(before, now);
  const gauges = new Sums(now.samples);
  const lanes = [...gauges.combinations("pulsegate_stream_lag", ["tenant", "sink"])];
  const withLanes = new Set(lanes.map(([tenant]) => tenant));
  const alone = [...gauges.combinations("pulsegate_ingest_events_total", ["tenant"])].filter(
    ([tenant = ""]) => tenant !== "" && !withLanes.has(tenant),
  );
  const rows = [...lanes, ...alone].map(([tenant = "", sink]) => rowOf({ tenant, sink, rate, gauges }));
  return rows.toSorted(order(sort));
}

interface RowParts {
  readonly tenant: string;
  readonly sink: string | undefined;
  readonly rate: Sums;
  readonly gauges: Sums;
}

function rowOf({ tenant, sink, rate, gauges }: RowParts): TopRow {
  const ofTenant = { tenant };
  const ofLane = { tenant, sink: sink ?? "" };
  const settled = (outcome: string) => rate.of("pulsegate_lane_settled_total", { ...ofLane, outcome });
  return {
    tenant,
    accepted_per_second: rate.of("pulsegate_ingest_events_total", { ...ofTenant, code: "accepted" }),
    refused_per_second: rate.of("pulsegate_tenant_backpressure_total", ofTenant),
    sink: sink ?? null,
    delivered_per_second: settled("delivered"),
    filtered_per_second: settled("filtered"),
    dead_per_second: settled("dead"),
    retried_per_second: rate.of("pulsegate_worker_errors_total", ofLane),
    backlog_events: gauges.of("pulsegate_stream_lag", ofLane),
    oldest_seconds: gauges.of("pulsegate_lane_lag_seconds", ofLane),
    breaker: sink === undefined ? null : breakerOf(gauges, ofLane),
  };
}

function breakerOf(gauges: Sums, lane: Readonly<Record<string, string>>): string {
  const states = ["open", "half_open"];
  return states.find((state) => gauges.of("pulsegate_sink_breaker_info", { ...lane, state }) > 0) ?? "closed";
}

/** By the figure that is sorted by, the largest first; what is equal by name. */
function order(sort: Sort): (a: TopRow, b: TopRow) => number {
  const byName = (a: TopRow, b: TopRow) =>
    a.tenant.localeCompare(b.tenant) || (a.sink ?? "").localeCompare(b.sink ?? "");
  if (sort === "tenant") return byName;
  const key = KEYS[sort];
  return (a, b) => Number(b[key]) - Number(a[key]) || byName(a, b);
}

function rates(before: Scrape, now: Scrape): Sums {
  const seconds = Math.max(now.at - before.at, 1e-3);
  const old = new Map(before.samples.map((sample) => [seriesKey(sample), sample.value]));
  const risen = now.samples.map((sample) => {
    const last = old.get(seriesKey(sample)) ?? 0;
    // A counter that fell was started anew: all that it has came since.
    const by = sample.value < last ? sample.value : sample.value - last;
    return { ...sample, value: by / seconds };
  });
  return new Sums(risen);
}

function seriesKey({ name, labels }: Sample): string {
  return `${name}${JSON.stringify(labels)}`;
}

/** Sums over series, by some of their labels. */
class Sums {
  readonly #byName: Map<string, Sample[]>;

  constructor(samples: readonly Sample[]) {
    this.#byName = Map.groupBy(samples, ({ name }) => name);
  }

  of(name: string, labels: Readonly<Record<string, string>>): number {
    const wanted = Object.entries(labels);
    let sum = 0;
    for (const sample of this.#byName.get(name) ?? [])
      if (wanted.every(([label, value]) => sample.labels[label] === value)) sum += sample.value;
    return sum;
  }

  /** The values that the labels have together, each once. */
  combinations(name: string, labels: readonly string[]): Iterable<string[]> {
    const found = new Map<string, string[]>();
    for (const sample of this.#byName.get(name) ?? []) {
      const values = labels.map((label) => sample.labels[label] ?? "");
      found.set(JSON.stringify(values), values);
    }
    return found.values();
  }
}
