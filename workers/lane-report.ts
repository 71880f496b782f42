import { fingerprintOf } from "../core/ingestion/dead-letters.ts";
import type { Slot } from "../core/ingestion/lane-slot.ts";
import { FAILED_AGAIN, NOT_SELECTED } from "../core/ingestion/jobs.ts";
import type { DeadLetter, LaneCommit } from "../core/ingestion/log.ts";
import type { Settled } from "../core/ingestion/settle.ts";
import type { LaneError } from "./deps.ts";
import type { LaneOptions } from "./lane-options.ts";
import { errorCode, errorText } from "./text.ts";

/** Attempts kept with an event: the latest. */
const HISTORY_MAX = 32;
/** Distinct drop reasons that a lane counts apart; the ledger's size must not depend on a plugin's texts. */
const FILTER_REASONS_MAX = 64;
/** Lines of a round's dead letters in the log of the process; the rest are counted. */
const DEAD_LINES_MAX = 5;

export interface Failure {
  readonly stage: string;
  readonly code: string;
  readonly reason: string;
  readonly response?: string | undefined;
}

/** What a lane tells the world: metrics, log lines, dead letters, its last error. */
export class LaneReport {
  revision: number;
  readonly #options: LaneOptions;
  readonly #reasons: Set<string>;
  readonly #fields: Readonly<Record<string, unknown>>;
  readonly #plugins: Readonly<Record<string, string>>;
  #lastError: LaneError | undefined;
  #lastStoreCode = "";
  #deadLines = 0;

  constructor(options: LaneOptions) {
    const { lane, state, chain, target, revision } = options;
    this.#options = options;
    this.revision = revision;
    this.#reasons = new Set(Object.keys(state.filtered));
    this.#fields = { tenant_id: lane.stream.tenantId, partition: lane.stream.partition, sink: lane.sink };
    const hosts = [...chain.shared, ...chain.branch, target.host];
    this.#plugins = Object.fromEntries(hosts.map((host) => [host.name, host.version]));
  }

  get lastError(): LaneError | undefined {
    return this.#lastError;
  }

  call(events: number, ms: number): void {
    const { deps, lane, target } = this.#options;
    const { tenantId } = lane.stream;
    deps.metrics.delivery({ tenantId, sink: lane.sink, plugin: target.host.name, events, seconds: ms / 1000 });
  }

  /** From the oldest event's read to the end of its round. */
  round(slots: readonly Slot[]): void {
    const { deps, lane } = this.#options;
    const oldest = slots.reduce((at, slot) => Math.min(at, slot.readAt), Number.POSITIVE_INFINITY);
    deps.metrics.processing(lane.stream.tenantId, lane.sink, (deps.timers.now() - oldest) / 1000);
    this.#deadLines = 0;
  }

  /** One failed try of one event. */
  failed(slot: Slot, failure: Failure): void {
    const { deps, lane, job } = this.#options;
    const at = deps.timers.clock.now();
    const attempt = { at, reason: `${failure.code}: ${failure.reason}` };
    slot.history.push(job === undefined ? attempt : { ...attempt, job: job.id });
    if (slot.history.length > HISTORY_MAX) slot.history.shift();
    this.#lastError = { at, stage: failure.stage, code: failure.code, message: failure.reason };
    const { stage, code } = failure;
    deps.metrics.error({ tenantId: lane.stream.tenantId, sink: lane.sink, stage, code, events: 1 });
  }

  deadLetter(slot: Slot, failure: Failure): DeadLetter {
    const { deps, lane } = this.#options;
    const head = headOf(slot.bytes);
    this.#deadLine(slot, failure, head);
    return {
      lane,
      sequence: slot.sequence,
      eventId: head.event_id ?? "",
      eventType: head.event_type ?? "",
      receivedAt: slot.receivedAt,
      diedAt: deps.timers.clock.now(),
      stage: failure.stage,
      code: failure.code,
      message: failure.reason,
      fingerprint: fingerprintOf({ stage: failure.stage, code: failure.code, message: failure.reason }),
      response: failure.response,
      attempts: slot.history,
      configRevision: this.revision,
      plugins: this.#plugins,
      bytes: slot.bytes,
    };
  }

  /** The reason as the ledger counts it. */
  filterReason(reason: string): string {
    // The rules' own are few, and a plugin's texts must not take their place.
    if (this.#reasons.has(reason) || reason.startsWith("route:")) return reason;
    if (this.#reasons.size >= FILTER_REASONS_MAX) return `${reason.slice(0, reason.indexOf(":"))}: other`;
    this.#reasons.add(reason);
    return reason;
  }

  /** A commit is durable. */
  settled(settled: Settled & Pick<LaneCommit, "redriven">): void {
    const { deps, lane, job } = this.#options;
    const { tenantId } = lane.stream;
    this.#lastStoreCode = "";
    for (const letter of settled.deadLetters) deps.metrics.deadLetter(tenantId, lane.sink, letter.stage);
    if (job !== undefined) return this.#replayed(settled);
    const { delivered, filtered, dead } = settled;
    if (delivered > 0) deps.metrics.settled(tenantId, lane.sink, "delivered", delivered);
    if (filtered > 0) deps.metrics.settled(tenantId, lane.sink, "filtered", filtered);
    if (dead > 0) deps.metrics.settled(tenantId, lane.sink, "dead", dead);
  }

  #replayed({ settlement, delivered, dead }: Settled): void {
    const { deps, lane } = this.#options;
    const counts = { delivered, failed: dead, filtered: 0 };
    for (const exception of settlement.exceptions) {
      if (exception.outcome !== "filtered" || exception.reason === NOT_SELECTED) continue;
      const outcome = exception.reason === FAILED_AGAIN ? "failed" : "filtered";
      counts[outcome] += exception.to - exception.from;
    }
    for (const outcome of ["delivered", "filtered", "failed"] as const) {
      if (counts[outcome] > 0) deps.metrics.replayed(lane.stream.tenantId, lane.sink, outcome, counts[outcome]);
    }
  }

  /** The log itself failed: the lane tries again, and says so once. */
  storeFailed(action: "read" | "commit", error: unknown): void {
    const { deps } = this.#options;
    const code = errorCode(error);
    const message = `The log failed to ${action}: ${errorText(error)}`;
    this.#lastError = { at: deps.timers.clock.now(), stage: "log", code, message };
    if (code !== this.#lastStoreCode)
      deps.logger.error({ ...this.#fields, code, reason: errorText(error) }, `log ${action} failed`);
    this.#lastStoreCode = code;
  }

  /** Entries that this lane owed to its sink are gone from the log. */
  hole(before: number, missing: number): void {
    const { deps } = this.#options;
    const message = `${missing} events before sequence ${before} are gone from the log and were not delivered`;
    this.#lastError = { at: deps.timers.clock.now(), stage: "log", code: "log_hole", message };
    deps.logger.error({ ...this.#fields, missing, before }, "events are gone from the log and were not delivered");
  }

  #deadLine(slot: Slot, failure: Failure, head: Head): void {
    this.#deadLines += 1;
    if (this.#deadLines > DEAD_LINES_MAX) return;
    const { stage, code, reason } = failure;
    const ids = { event_id: head.event_id, trace_id: head.trace_id, sequence: slot.sequence };
    this.#options.deps.logger.warn(
      { ...this.#fields, ...ids, stage, code, reason, tries: slot.tries },
      "event is a dead letter",
    );
  }
}

export interface Head {
  readonly event_id?: string;
  readonly event_type?: string;
  readonly trace_id?: string;
}

const PAYLOAD_MARK = ',"payload":';

/** The names of an event even if a plugin spoiled the decoded one, or if its bytes can't be decoded. */
export function headOf(bytes: Buffer): Head {
  try {
    return JSON.parse(`${bytes.toString("utf8", 0, bytes.indexOf(PAYLOAD_MARK))}}`) as Head;
  } catch {
    return {};
  }
}
