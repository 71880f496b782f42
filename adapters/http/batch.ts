import type { EventParts } from "../../core/canonical/codec.ts";
import type { ErrorCode } from "../../core/canonical/errors.ts";
import { ERROR_CODES } from "../../core/canonical/errors.ts";
import type { ParsedEvent } from "../../core/canonical/parse.ts";
import type { BatchContext, ParsedBatch } from "../../core/canonical/parse-batch.ts";
import { parseArray, parseLines } from "../../core/canonical/parse-batch.ts";
import type { IngestResult } from "../../core/ingestion/ingest.ts";
import { ackMembers } from "./ack.ts";
import type { Exchange } from "./exchange.ts";
import { detailOf, problemJson } from "./problem.ts";
import type { PostContext } from "./single.ts";
import { conflictOf, parseContext } from "./single.ts";

export interface BatchPostContext extends PostContext {
  readonly form: "array" | "lines";
}

/** `POST /v1/events/batch`: each event has its own result; those that are right are stored in one go. */
export function postBatch(exchange: Exchange, body: Buffer, context: BatchPostContext): void {
  const batch = parseBatch(exchange, body, context);
  if (!batch.ok) {
    exchange.refuse(batch.code, batch.detail, { violations: batch.violations });
    return;
  }
  const parts: EventParts[] = [];
  for (const event of batch.events) if (event.ok) parts.push(event.parts);
  countRefused(exchange, context, batch.events);
  // No event is right: there is nothing to store, and nothing to wait for.
  const accepted = parts.length === 0 ? Promise.resolve([]) : context.ingestor.accept(context.admitted.tenant, parts);
  accepted.then(
    (results) => answer(exchange, batch.events, results),
    (error: unknown) => exchange.fail(error),
  );
}

function parseBatch(exchange: Exchange, body: Buffer, context: BatchPostContext): ParsedBatch {
  const batchContext: BatchContext = { ...parseContext(exchange, context), eventsMax: context.eventsMax };
  return context.form === "array" ? parseArray(body, batchContext) : parseLines(body, batchContext);
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

function itemMembers(exchange: Exchange, event: ParsedEvent, result: IngestResult | undefined): string {
  if (!event.ok) {
    const { code, violations } = event;
    return problemMembers(
      code,
      problemJson({ code, detail: detailOf(violations), violations, traceId: exchange.traceId }),
    );
  }
  if (result?.type !== "conflict")
    return `"status":202,${ackMembers(result as Exclude<IngestResult, { type: "conflict" }>)}`;
  const code = "idempotency_conflict";
  const { detail, violation } = conflictOf(result);
  return problemMembers(code, problemJson({ code, detail, violations: [violation], traceId: exchange.traceId }));
}

function problemMembers(code: ErrorCode, problem: string): string {
  return `"status":${ERROR_CODES[code].http},"problem":${problem}`;
}
