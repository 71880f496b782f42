import type { MetricDefinition } from "./definitions.ts";

/** Everything beyond a bound is counted under this label value. */
export const OTHER = "other";

/** A number that hot code adds to or sets directly; it is read only when someone scrapes. */
export interface Cell {
  value: number;
}

/** One sample in the form that the registry renders and merges. */
export interface Sample {
  readonly value: number;
  readonly labels: Readonly<Record<string, string | number>>;
  readonly metricName?: string;
}

/** What the registry asks of a metric. */
export interface Family {
  readonly name: string;
  readonly help: string;
  readonly type: string;
  readonly aggregator: string;
  get(): Promise<{ name: string; help: string; type: string; aggregator: string; values: Sample[] }>;
  /** Forgets the cells with these values of a label, bound ones too. */
  forget(label: string, values: ReadonlySet<string>): void;
}

interface Child<T> {
  readonly values: readonly string[];
  readonly cell: T;
}

/** Cells by label values, bounded: past `seriesMax` all further combinations share one cell, `other`. */
class Children<T> {
  readonly #definition: MetricDefinition;
  readonly #make: () => T;
  readonly #byKey = new Map<string, Child<T>>();
  #overflow: Child<T> | undefined;

  constructor(definition: MetricDefinition, make: () => T) {
    this.#definition = definition;
    this.#make = make;
    if (definition.labels.length === 0) this.cell();
  }

  cell(...values: string[]): T {
    const key = values.join("\u0000");
    const known = this.#byKey.get(key);
    if (known !== undefined) return known.cell;
    if (this.#byKey.size >= this.#definition.seriesMax) {
      this.#overflow ??= { values: this.#definition.labels.map(() => OTHER), cell: this.#make() };
      return this.#overflow.cell;
    }
    const child = { values, cell: this.#make() };
    this.#byKey.set(key, child);
    return child.cell;
  }

  clear(): void {
    this.#byKey.clear();
    this.#overflow = undefined;
  }

  forget(label: string, gone: ReadonlySet<string>): void {
    const at = this.#definition.labels.indexOf(label);
    if (at === -1) return;
    for (const [key, { values }] of this.#byKey) if (gone.has(values[at] ?? "")) this.#byKey.delete(key);
  }

  *all(): Generator<{ labels: Record<string, string>; cell: T }> {
    for (const child of this.#byKey.values()) yield this.#labelled(child);
    if (this.#overflow !== undefined) yield this.#labelled(this.#overflow);
  }

  #labelled({ values, cell }: Child<T>): { labels: Record<string, string>; cell: T } {
    return { labels: Object.fromEntries(this.#definition.labels.map((name, i) => [name, values[i] ?? ""])), cell };
  }
}

abstract class BaseFamily<T> implements Family {
  readonly name: string;
  readonly help: string;
  readonly type: string;
  readonly aggregator: string;
  protected readonly children: Children<T>;
  readonly #beforeRead: (() => void) | undefined;

  constructor(definition: MetricDefinition, make: () => T, beforeRead?: () => void) {
    this.name = definition.name;
    this.help = definition.help;
    this.type = definition.type;
    this.aggregator = definition.merge ?? "sum";
    this.children = new Children(definition, make);
    this.#beforeRead = beforeRead;
  }

  /** The cell for label values in the order of the definition: bind it once, then use it alone. */
  cell(...values: string[]): T {
    return this.children.cell(...values);
  }

  /** Forgets all cells, bound ones too: for gauges that are written anew at each scrape. */
  clear(): void {
    this.children.clear();
  }

  forget(label: string, values: ReadonlySet<string>): void {
    this.children.forget(label, values);
  }

  async get() {
    this.#beforeRead?.();
    const { name, help, type, aggregator } = this;
    return { name, help, type, aggregator, values: this.samples() };
  }

  protected abstract samples(): Sample[];
}

export class NumberFamily extends BaseFamily<Cell> {
  constructor(definition: MetricDefinition, beforeRead?: () => void) {
    super(definition, () => ({ value: 0 }), beforeRead);
  }

  protected samples(): Sample[] {
    return [...this.children.all()].map(({ labels, cell }) => ({ labels, value: cell.value }));
  }
}

/** Counts per bucket, not cumulated; one more than there are bounds, for what lies above them all. */
export class HistogramCell {
  readonly bounds: readonly number[];
  readonly counts: Float64Array;
  sum = 0;

  constructor(bounds: readonly number[]) {
    this.bounds = bounds;
    this.counts = new Float64Array(bounds.length + 1);
  }

  observe(value: number): void {
    const { bounds, counts } = this;
    let bucket = 0;
    while (bucket < bounds.length && value > (bounds[bucket] as number)) bucket++;
    counts[bucket] = (counts[bucket] as number) + 1;
    this.sum += value;
  }
}

export class HistogramFamily extends BaseFamily<HistogramCell> {
  constructor(definition: MetricDefinition) {
    super(definition, () => new HistogramCell(definition.buckets ?? []));
  }

  protected samples(): Sample[] {
    return [...this.children.all()].flatMap(({ labels, cell }) => this.#samplesOf(labels, cell));
  }

  #samplesOf(labels: Record<string, string>, { bounds, counts, sum }: HistogramCell): Sample[] {
    const bucket = `${this.name}_bucket`;
    let count = 0;
    const samples: Sample[] = [];
    for (let i = 0; i < counts.length; i++) {
      count += counts[i] as number;
      samples.push({ metricName: bucket, labels: { le: bounds[i] ?? "+Inf", ...labels }, value: count });
    }
    samples.push({ metricName: `${this.name}_sum`, labels, value: sum });
    samples.push({ metricName: `${this.name}_count`, labels, value: count });
    return samples;
  }
}

/** The first so many names are kept, all later ones become `other` and stay so: no count moves between the two. */
export class LabelCap {
  readonly #max: number;
  readonly #kept = new Set<string>();
  readonly #others = new Set<string>();

  constructor(max: number) {
    this.#max = max;
  }

  of(name: string): string {
    if (this.#kept.has(name)) return name;
    if (this.#kept.size >= this.#max || this.#others.has(name)) {
      this.#others.add(name);
      return OTHER;
    }
    this.#kept.add(name);
    return name;
  }

  /** Names that will not come any more make room. */
  forget(isGone: (name: string) => boolean): void {
    for (const names of [this.#kept, this.#others]) for (const name of names) if (isGone(name)) names.delete(name);
  }
}
