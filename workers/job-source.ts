import { type JobLaneOrder, type JobOrder, NOT_SELECTED } from "../core/ingestion/jobs.ts";
import { countsOf, settledOf } from "../core/ingestion/job-counts.ts";
import type { Gap, Slot } from "../core/ingestion/lane-slot.ts";
import type { LaneState, LogEntry, ReadLimits } from "../core/ingestion/log.ts";
import { settlementOf } from "../core/ingestion/settle.ts";
import { TokenBucket } from "../core/qps/token-bucket.ts";
import type { WorkerDeps } from "./deps.ts";
import { selectorOf } from "./job-selection.ts";
import type { LaneSource, Stamp } from "./lane-source.ts";

/** Entries looked at in one go: what a filter may take of the event loop. */
const READ_MAX = 500;
/** Of a rate: what may be caught up after a pause. */
const BURST_SECONDS = 0.25;

export interface JobSourceOptions {
  readonly deps: Pick<WorkerDeps, "log" | "timers">;
  readonly order: JobOrder;
  readonly laneOrder: JobLaneOrder;
  readonly state: LaneState;
}

/** A range of sequences with a filter, a rate and a bound. What is left over, the kinds of jobs add. */
export abstract class JobSource implements LaneSource {
  protected readonly options: JobSourceOptions;
  protected readonly isSelected: (entry: LogEntry) => boolean;
  #order: JobLaneOrder;
  #bucket: TokenBucket | undefined;
  /** Events settled so far, those before this process included. */
  #settled: number;
  /** Sequences of the events that were read and not settled, in order. */
  #open: number[] = [];

  constructor(options: JobSourceOptions) {
    this.options = options;
    this.isSelected = selectorOf(options.order.selection);
    this.#settled = settledOf(countsOf([options.state]));
    this.#order = options.laneOrder;
    this.#bucket = this.#newBucket();
  }

  /** Another rate or bound; the range stays. */
  update(order: JobLaneOrder): void {
    const { eventsPerSecond } = this.#order;
    this.#order = order;
    if (order.eventsPerSecond === eventsPerSecond) return;
    const before = this.#bucket;
    const bucket = this.#newBucket();
    this.#bucket = before === undefined ? bucket : bucket?.continueFrom(before, this.#now());
  }

  waitMs(): number {
    if (this.#room() <= 0) return Number.POSITIVE_INFINITY;
    return this.#bucket?.waitMs(this.#now()) ?? 0;
  }

  async read(from: number, limits: ReadLimits): Promise<readonly (LogEntry | Gap)[]> {
    const { to } = this.#order;
    // What the lane gave up of its reading ahead comes again.
    this.#open = this.#open.filter((sequence) => sequence < from);
    const tokens = this.#bucket?.available(this.#now()) ?? READ_MAX;
    const entries = Math.min(limits.entries, READ_MAX, this.#room(), Math.max(1, tokens), to - from);
    if (entries <= 0) return [];
    const items = await this.readRange({ from, to, limits: { ...limits, entries } });
    const selected = items.flatMap((item) => ("to" in item ? [] : item.sequence));
    this.#open.push(...selected);
    this.#bucket?.charge(this.#now(), selected.length);
    return items;
  }

  settle(prefix: readonly Slot[], stamp: Stamp): ReturnType<LaneSource["settle"]> {
    const settled = settlementOf(prefix, stamp);
    const before = this.#open.length;
    this.#open = this.#open.filter((sequence) => sequence >= settled.settlement.to);
    this.#settled += before - this.#open.length;
    return settled;
  }

  /** At least one item: an event, or a gap up to where there is none. */
  protected abstract readRange(range: Range): Promise<readonly (LogEntry | Gap)[]>;

  #room(): number {
    return (this.#order.eventsMax ?? Number.POSITIVE_INFINITY) - this.#settled - this.#open.length;
  }

  #newBucket(): TokenBucket | undefined {
    const { eventsPerSecond: perSecond } = this.#order;
    if (perSecond === undefined) return undefined;
    return new TokenBucket({ perSecond, burst: Math.max(1, perSecond * BURST_SECONDS), now: this.#now() });
  }

  #now(): number {
    return this.options.deps.timers.now();
  }
}

export interface Range {
  readonly from: number;
  readonly to: number;
  readonly limits: ReadLimits;
}

export function notSelected(sequence: number, to: number): Gap {
  return { sequence, to, outcome: { type: "filtered", reason: NOT_SELECTED } };
}
