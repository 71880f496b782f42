import { setImmediate as immediately } from "node:timers/promises";
import type { EventParts } from "../../core/canonical/codec.ts";
import type { ErrorCode } from "../../core/canonical/errors.ts";
import { ERROR_CODES } from "../../core/canonical/errors.ts";
import type { ParsedEvent } from "../../core/canonical/parse.ts";
import type { BatchContext, BatchParse, ParsedBatch } from "../../core/canonical/parse-batch.ts";
import { parseArray, parseLines } from "../../core/canonical/parse-batch.ts";
import type { IngestResult } from "../../core/ingestion/ingest.ts";
import { EVENT_COST } from "../../core/qps/capacity.ts";
import { acceptedResults } from "./accepted-results.ts";
import { ackMembers, type Stored } from "./ack.ts";
import type { Exchange } from "./exchange.ts";
import { detailOf, problemJson } from "./problem.ts";
import type { PostContext } from "./single.ts";
import { conflictOf, parseContext } from "./single.ts";

export interface BatchPostContext extends PostContext {
  readonly form: "array" | "lines";
}

/** `POST /v1/events/batch`: each event has its own result; all that are right are stored. */
export function postBatch(exchange: Exchange, body: Buffer, context: BatchPostContext): void {
  const parse = batchParse(exchange, body, context);
  const first = parse.next();
  // Most batches are done at once, and need no promise for that.
  const batch = first.done === true ? first.value : finish(parse);
  if (batch instanceof Promise)
    batch.then((parsed) => storeBatch(exchange, parsed, context)).catch((error) => exchange.fail(error));
  else storeBatch(exchange, batch, context);
}

function batchParse(exchange: Exchange, body: Buffer, context: BatchPostContext): BatchParse {
  const batchContext: BatchContext = { ...parseContext(exchange, context), eventsMax: context.eventsMax };
  return context.form === "array" ? parseArray(body, batchContext) : parseLines(body, batchContext);
}

/** Lets others have the thread between any two slices. */
async function finish(parse: BatchParse): Promise<ParsedBatch> {
  for (;;) {
    await immediately();
    const step = parse.next();
    if (step.done === true) return step.value;
  }
}

function storeBatch(exchange: Exchange, batch: ParsedBatch, context: BatchPostContext): void {
  if (!batch.ok) {
    exchange.refuse(batch.code, batch.detail, { violations: batch.violations });
    return;
  }
  // The first event was charged when the request came in.
  const more = batch.events.length - 1;
  if (more > 0) exchange.quota?.charge({ events: more, bytes: 0 });
  exchange.hold(more * EVENT_COST);
  const parts: EventParts[] = [];
  for (const event of batch.events) if (event.ok) parts.push(event.parts);
  countRefused(exchange, context, batch.events);
  store(parts, context).then(
    (results) => answer(exchange, batch.events, results),
    (error: unknown) => exchange.fail(error),
  );
}

/** Events of one append; larger batches are several, so that others' events get in between. */
const APPEND_EVENTS_MAX = 1000;

async function store(parts: readonly EventParts[], { ingestor, admitted }: PostContext): Promise<IngestResult[]> {
  if (parts.length === 0) return [];
  if (parts.length <= APPEND_EVENTS_MAX) return ingestor.accept(admitted.tenant, parts);
  const appends: Array<Promise<IngestResult[]>> = [];
  for (let from = 0; from < parts.length; from += APPEND_EVENTS_MAX) {
    if (from > 0) await immediately();
    const append = ingestor.accept(admitted.tenant, parts.slice(from, from + APPEND_EVENTS_MAX));
    // Looked at below; until then a failure is not one that nobody handles.
    append.catch(() => {});
    appends.push(append);
  }
  return (await Promise.all(appends)).flat();
}

function countRefused(exchange: Exchange, { admitted }: PostContext, events: readonly ParsedEvent[]): void {
  let counts: Map<ErrorCode, number> | undefined;
  for (const event of events) {
    if (event.ok) continue;
    counts ??= new Map();
    counts.set(event.code, (counts.get(event.code) ?? 0) + 1);
  }
  for (const [code, count] of counts ?? []) exchange.scope.metrics.events(admitted.tenant.id, code, count, 0);
}

/** 202 when every event is stored, else 207: also when none is, so that a client always looks at the results. */
function answer(exchange: Exchange, events: readonly ParsedEvent[], results: readonly IngestResult[]): void {
  if (results.length === events.length && results.every(isStored)) {
    exchange.reply(202, `{"results":[${acceptedResults(results)}]}`);
    return;
  }
  let json = "";
  let stored = 0;
  let status = 202;
  for (const [index, event] of events.entries()) {
    const result = event.ok ? (results[stored++] as IngestResult) : undefined;
    if (result === undefined || result.type === "conflict") status = 207;
    json += `${index === 0 ? "" : ","}{"index":${index},${itemMembers(exchange, event, result)}}`;
  }
  exchange.replyText(status, `{"results":[${json}]}`);
}

function isStored(result: IngestResult): result is Stored {
  return result.type !== "conflict";
}

function itemMembers(exchange: Exchange, event: ParsedEvent, result: IngestResult | undefined): string {
  if (!event.ok) {
    const { code, violations } = event;
    return problemMembers(
      code,
      problemJson({ code, detail: detailOf(violations), violations, traceId: exchange.traceId }),
    );
  }
  if (result?.type !== "conflict") return `"status":202,${ackMembers(result as Stored)}`;
  const code = "idempotency_conflict";
  const { detail, violation } = conflictOf(result);
  return problemMembers(code, problemJson({ code, detail, violations: [violation], traceId: exchange.traceId }));
}

function problemMembers(code: ErrorCode, problem: string): string {
  return `"status":${ERROR_CODES[code].http},"problem":${problem}`;
}
