import { stat } from "node:fs/promises";
import { setTimeout as sleep } from "node:timers/promises";
import { EXIT, Failure } from "./failure.ts";
import { DATA_HINT, parseProblem, problemFailure, reach, violationText } from "./instance.ts";
import { interruption } from "./interruption.ts";
import { printJson, printLine, printNote, printRows } from "./print.ts";
import { createProgress } from "./progress.ts";
import { lineBatches } from "./send-lines.ts";
import type { LineBatch } from "./send-lines.ts";
import { freshState, lineEventId, readState, removeState, writeState } from "./send-state.ts";
import type { SendState } from "./send-state.ts";
import { withMember } from "./send-text.ts";
import type { DataAddress } from "./send-text.ts";

export interface SendFileOptions {
  readonly address: DataAddress;
  readonly type: string | undefined;
  readonly json: boolean;
}

interface Reject {
  readonly line: number;
  readonly code: string;
  readonly detail: string;
}

const LINES_MAX = 1_000;
const BYTES_MAX = 4 * 2 ** 20;
const REJECTS_SHOWN = 10;
/** How long a server may refuse for want of capacity, or be away, before the command gives up. */
const PATIENCE_MS = 60_000;
const PAUSE_MIN_MS = 200;
const PAUSE_MAX_MS = 5_000;

/**
 * Sends every line of a file, in order, a batch at a time. What was interrupted goes on where it
 * stopped: the state lies beside the file, and ids that follow from it make repeats harmless.
 */
export async function sendFile(file: string, options: SendFileOptions): Promise<void> {
  const resumable = file !== "-";
  const total = resumable ? await sizeOf(file) : undefined;
  const before = resumable ? await readState(file) : undefined;
  if (before !== undefined) printNote(`going on at line ${before.lines + 1} (${file}.pulsegate-send)`);
  let state = before ?? freshState();
  if (resumable) await writeState(file, state);
  const progress = createProgress(total);
  const rejects: Reject[] = [];
  const startedAt = performance.now();
  // The request under way is abandoned: its lines are sent again next time, under the same ids.
  const stop = interruption();
  try {
    for await (const batch of lineBatches({ file, skip: state, linesMax: LINES_MAX, bytesMax: BYTES_MAX })) {
      state = await sendBatch(batch, { ...options, state, rejects, signal: stop.signal });
      if (resumable) await writeState(file, state);
      progress.update(state, rateOf(state, before, startedAt));
    }
  } catch (error) {
    progress.stop();
    throw unfinished(error, { file, state, resumable, interrupted: stop.signal.aborted });
  } finally {
    stop.release();
  }
  progress.stop();
  if (resumable) await removeState(file);
  report({ state, rejects, rate: rateOf(state, before, startedAt), json: options.json });
}

async function sizeOf(file: string): Promise<number> {
  try {
    return (await stat(file)).size;
  } catch (error) {
    throw new Failure(`can't read ${file}`, { why: (error as Error).message, next: "check the path" });
  }
}

function rateOf(state: SendState, before: SendState | undefined, startedAt: number): number {
  const lines = state.lines - (before?.lines ?? 0);
  return Math.round((lines / Math.max(1, performance.now() - startedAt)) * 1_000);
}

interface BatchContext extends SendFileOptions {
  readonly state: SendState;
  readonly rejects: Reject[];
  readonly signal: AbortSignal;
}

async function sendBatch(batch: LineBatch, context: BatchContext): Promise<SendState> {
  const { state } = context;
  const numbered = batch.lines
    .map((text, i) => ({ line: batch.first + i, text }))
    .filter(({ text }) => text.trim() !== "");
  const counts = { accepted: state.accepted, duplicates: state.duplicates, rejected: state.rejected };
  await sendLines(numbered, context, counts);
  return { ...state, ...counts, lines: state.lines + batch.lines.length, bytes: state.bytes + batch.bytes };
}

interface NumberedLine {
  readonly line: number;
  readonly text: string;
}

interface Counts {
  accepted: number;
  duplicates: number;
  rejected: number;
}

/** Halves a batch that the server finds too large, down to the single line that is. */
async function sendLines(lines: readonly NumberedLine[], context: BatchContext, counts: Counts): Promise<void> {
  if (lines.length === 0) return;
  const body = lines.map((line) => bodyOf(line, context)).join("\n");
  const { response, text } = await post(body, context);
  if (response.status === 413) {
    if (lines.length === 1) {
      reject(lines[0] as NumberedLine, parseProblem(text), context, counts);
      return;
    }
    const half = Math.ceil(lines.length / 2);
    await sendLines(lines.slice(0, half), context, counts);
    await sendLines(lines.slice(half), context, counts);
    return;
  }
  if (!response.ok) throw problemFailure(response, text);
  const { results } = JSON.parse(text) as { results: ItemResult[] };
  for (const result of results) {
    const line = lines[result.index] as NumberedLine;
    if (result.status >= 300) reject(line, result.problem ?? {}, context, counts);
    else if (result.duplicate === true) counts.duplicates++;
    else counts.accepted++;
  }
}

interface ItemResult {
  readonly index: number;
  readonly status: number;
  readonly duplicate?: boolean;
  readonly problem?: ReturnType<typeof parseProblem>;
}

function reject(
  { line }: NumberedLine,
  problem: ReturnType<typeof parseProblem>,
  { rejects }: BatchContext,
  counts: Counts,
): void {
  counts.rejected++;
  const first = problem.errors?.[0];
  const detail = first === undefined ? (problem.detail ?? problem.title ?? "") : violationText(first);
  if (rejects.length < REJECTS_SHOWN) rejects.push({ line, code: problem.code ?? "unknown", detail });
}

/** The line as it stands, with an id of its own where it names none. */
function bodyOf({ line, text }: NumberedLine, { type, state }: BatchContext): string {
  const typed = type === undefined ? text : withMember(text, "event_type", type);
  return namesItself(text) ? typed : withMember(typed, "event_id", lineEventId(state.sendId, line));
}

function namesItself(text: string): boolean {
  try {
    const event: unknown = JSON.parse(text);
    return typeof event === "object" && event !== null && ("event_id" in event || "idempotency_key" in event);
  } catch {
    // Not JSON: goes as it is, for the server to refuse it in its own words.
    return true;
  }
}

/** Posts one batch; waits for a server that is away or has no capacity, up to a limit. */
async function post(body: string, context: BatchContext): Promise<{ response: Response; text: string }> {
  const { address, signal } = context;
  const giveUpAt = performance.now() + PATIENCE_MS;
  for (let pauseMs = PAUSE_MIN_MS; ; pauseMs = Math.min(pauseMs * 2, PAUSE_MAX_MS)) {
    let waitMs = pauseMs * (0.5 + Math.random() / 2);
    try {
      const headers = { "content-type": "application/x-ndjson", "x-api-key": address.key };
      const url = new URL("/v1/events/batch", address.url).href;
      const response = await reach(url, { method: "POST", headers, body, signal }, DATA_HINT);
      const text = await response.text();
      const busy = response.status === 429 || response.status === 503 || response.status === 408;
      if (!busy || performance.now() > giveUpAt) return { response, text };
      waitMs = Math.max(waitMs, Number(response.headers.get("retry-after") ?? 0) * 1_000);
    } catch (error) {
      if (signal.aborted || performance.now() > giveUpAt) throw error;
    }
    await sleep(waitMs, undefined, { signal });
  }
}

interface Unfinished {
  readonly file: string;
  readonly state: SendState;
  readonly resumable: boolean;
  readonly interrupted: boolean;
}

function unfinished(error: unknown, { file, state, resumable, interrupted }: Unfinished): Failure {
  const done = `${state.accepted} stored, ${state.duplicates} already there, ${state.rejected} refused`;
  const next = resumable
    ? "run the same command again: it goes on where this one stopped"
    : "standard input can't be resumed: lines without an event_id would be stored twice";
  if (interrupted) {
    return new Failure(`interrupted after line ${state.lines} (${done})`, { exitCode: EXIT.interrupted, next });
  }
  const failure = error instanceof Failure ? error : undefined;
  const why = [failure?.message ?? (error as Error).message, failure?.why]
    .filter((one) => one !== undefined)
    .join(": ");
  const exitCode = failure?.exitCode ?? EXIT.failed;
  return new Failure(`stopped after line ${state.lines} of ${file} (${done})`, { exitCode, why, next });
}

interface Report {
  readonly state: SendState;
  readonly rejects: readonly Reject[];
  readonly rate: number;
  readonly json: boolean;
}

function report({ state, rejects, rate, json }: Report): void {
  const { lines, accepted, duplicates, rejected } = state;
  if (json) printJson({ lines, accepted, duplicates, rejected, rejects, events_per_second: rate });
  else {
    printLine(`${accepted} stored, ${duplicates} already there, ${rejected} refused, ${rate} lines/s`);
    if (rejects.length > 0)
      printRows(
        rejects.map((one) => ({ ...one })),
        ["line", "code", "detail"],
        "",
      );
    if (rejected > rejects.length) printNote(`… and ${rejected - rejects.length} more`);
  }
  if (rejected > 0) {
    throw new Failure(`${rejected} of ${lines} lines were refused`, { next: "mend these lines and send them again" });
  }
}
