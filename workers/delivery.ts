import { BatchRejected, type CanonicalEvent, type SinkPlugin } from "../plugins/contract.ts";
import type { CallEnd, Calls } from "./call.ts";
import type { PluginHost } from "./host.ts";
import { codeText, errorCode, errorText, reasonText, responseText } from "./text.ts";

/** What became of one event of a round, as far as the sink said. */
export type Verdict =
  | { readonly type: "ok" }
  | {
      readonly type: "retry";
      readonly code: string;
      readonly reason: string;
      readonly unavailable: boolean;
      readonly retryAfterMs: number;
      readonly response: string | undefined;
    }
  | { readonly type: "error"; readonly code: string; readonly reason: string; readonly response: string | undefined };

export interface Delivery {
  readonly host: PluginHost<SinkPlugin>;
  readonly events: readonly CanonicalEvent[];
  /** The highest of the events' attempts. */
  readonly attempt: number;
  readonly calls: Calls;
  /** Some of the events must not be taken before others of them: what comes after one that is to be tried again is not tried. */
  readonly inOrder: boolean;
  /** For each call to the sink. */
  readonly timeoutMs: number;
  /** After each call to the sink. */
  readonly onCall: (events: number, ms: number) => void;
  readonly monotonic: () => number;
  /** The job that delivers, if one does. */
  readonly replayId: string | undefined;
}

/** At most so many calls of a sink without `sendBatch` run side by side. */
export const SENDS_MAX = 16;

/** A sink's word on waiting is honoured up to an hour. */
const RETRY_AFTER_MAX_MS = 3_600_000;

/**
 * Delivers a batch; never rejects. One verdict per event, in order; undefined where the event was
 * not tried to an end (aborted, or the target went away while a refused batch was being split).
 * A batch that the target refuses as a whole is halved until the guilty event stands alone: at most
 * 2 × log2(size) calls for each guilty event.
 */
export async function deliver(delivery: Delivery): Promise<(Verdict | undefined)[]> {
  const verdicts = delivery.events.map((): Verdict | undefined => undefined);
  const ranges = [{ from: 0, to: delivery.events.length }];
  for (let range = ranges.pop(); range !== undefined; range = ranges.pop()) {
    const { from, to } = range;
    const answer = await deliverRange(delivery, delivery.events.slice(from, to));
    if (answer === "split") {
      const middle = (from + to) >> 1;
      ranges.push({ from: middle, to }, { from, to: middle });
      continue;
    }
    answer.forEach((verdict, i) => (verdicts[from + i] = verdict));
    if (!(delivery.inOrder ? answer.every(isAlive) : answer.some(isAlive))) break;
  }
  return verdicts;
}

/** Whether the verdict shows that the target works: it took the event, or refused it for good. */
export function isAlive(verdict: Verdict | undefined): boolean {
  return verdict?.type === "ok" || verdict?.type === "error";
}

type RangeAnswer = readonly (Verdict | undefined)[] | "split";

async function deliverRange(delivery: Delivery, events: readonly CanonicalEvent[]): Promise<RangeAnswer> {
  const sink = delivery.host.instance;
  if (sink === undefined) return events.map(() => undefined);
  const startedAt = delivery.monotonic();
  const answer =
    sink.sendBatch === undefined ? await sendEach(delivery, sink, events) : await sendBatch(delivery, sink, events);
  delivery.onCall(events.length, delivery.monotonic() - startedAt);
  return answer;
}

async function sendBatch(
  delivery: Delivery,
  sink: SinkPlugin,
  events: readonly CanonicalEvent[],
): Promise<RangeAnswer> {
  const { host, calls, timeoutMs, attempt, replayId } = delivery;
  const end = await calls.run(timeoutMs, (signal) =>
    sink.sendBatch?.(events, host.context({ attempt, signal, replayId })),
  );
  if (end.type !== "value") {
    if (end.type === "threw" && isBatchRejected(end.error) && events.length > 1) return "split";
    const verdict = endVerdict(host, end);
    return events.map(() => verdict);
  }
  const outcomes: unknown = end.value;
  if (Array.isArray(outcomes) && outcomes.length === events.length) {
    const verdicts = outcomes.map((outcome) => verdictOf(host, outcome));
    // A sink that tries nothing at all must not be asked again at once.
    if (outcomes.every(isUntried)) return verdicts;
    return verdicts.map((verdict, i) => (verdict.type === "retry" && isUntried(outcomes[i]) ? undefined : verdict));
  }
  const verdict = nonsense(
    host,
    `${Array.isArray(outcomes) ? outcomes.length : "no"} outcomes for ${events.length} events`,
  );
  return events.map(() => verdict);
}

async function sendEach(delivery: Delivery, sink: SinkPlugin, events: readonly CanonicalEvent[]): Promise<RangeAnswer> {
  const { host, calls, timeoutMs, attempt, replayId } = delivery;
  const verdicts = events.map((): Verdict | undefined => undefined);
  const sendOne = async (event: CanonicalEvent, i: number, signal: AbortSignal) => {
    try {
      verdicts[i] = verdictOf(host, await sink.send(event, host.context({ attempt, signal, replayId })));
    } catch (error) {
      verdicts[i] = endVerdict(host, { type: "threw", error });
    }
  };
  const end = await calls.run(timeoutMs, (signal) => Promise.all(events.map((event, i) => sendOne(event, i, signal))));
  // A copy: calls that come back late must not write into what was answered.
  return verdicts.map((verdict) => verdict ?? endVerdict(host, end));
}

function endVerdict(host: PluginHost<SinkPlugin>, end: CallEnd<unknown>): Verdict | undefined {
  if (end.type === "aborted") return undefined;
  if (end.type === "late") return retry("timeout", `${host.label} did not answer within its deadline`);
  if (end.type === "value") return nonsense(host, "no outcome");
  const { error } = end;
  if (isBatchRejected(error))
    return { type: "error", code: errorCode(error), reason: errorText(error), response: undefined };
  return retry(errorCode(error), `${host.label} threw: ${errorText(error)}`);
}

/** By name as well: a plugin from elsewhere may carry its own copy of the class. */
function isBatchRejected(error: unknown): boolean {
  try {
    return error instanceof BatchRejected || (error instanceof Error && error.name === "BatchRejected");
  } catch {
    return false;
  }
}

function verdictOf(host: PluginHost<SinkPlugin>, outcome: unknown): Verdict {
  try {
    const { type, code, reason, response, unavailable, retryAfterMs } = outcome as Record<string, unknown>;
    if (type === "ok") return OK;
    if (type === "error")
      return { type, code: codeText(code), reason: reasonText(reason), response: responseText(response) };
    if (type !== "retry") return nonsense(host, "an unknown outcome");
    const waitMs =
      typeof retryAfterMs === "number" && retryAfterMs > 0 ? Math.min(retryAfterMs, RETRY_AFTER_MAX_MS) : 0;
    return {
      type,
      code: codeText(code),
      reason: reasonText(reason),
      unavailable: unavailable === true,
      retryAfterMs: waitMs,
      response: responseText(response),
    };
  } catch {
    return nonsense(host, "an unreadable outcome");
  }
}

const OK: Verdict = { type: "ok" };

function isUntried(outcome: unknown): boolean {
  try {
    return (outcome as { untried?: unknown }).untried === true;
  } catch {
    return false;
  }
}

/** What an unreadable answer means for the event is unknown, so it is tried again. */
function nonsense(host: PluginHost<SinkPlugin>, what: string): Verdict {
  return retry("plugin_error", `${host.label} returned ${what}`);
}

function retry(code: string, reason: string): Verdict {
  return { type: "retry", code, reason, unavailable: false, retryAfterMs: 0, response: undefined };
}
