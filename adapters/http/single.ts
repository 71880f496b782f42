import type { EventSource } from "../../core/canonical/event.ts";
import type { ParseContext } from "../../core/canonical/parse.ts";
import { parseEvent } from "../../core/canonical/parse.ts";
import type { Admitted } from "../../core/ingestion/admit.ts";
import type { Ingestor, IngestResult } from "../../core/ingestion/ingest.ts";
import { ackMembers } from "./ack.ts";
import type { Exchange } from "./exchange.ts";
import { detailOf } from "./problem.ts";

export const SOURCE: EventSource = "http";

export interface PostContext {
  readonly ingestor: Ingestor;
  readonly admitted: Admitted;
  readonly eventBytesMax: number;
  readonly eventsMax: number;
  /** From the header. */
  readonly idempotencyKey: string | undefined;
}

/** `POST /v1/events`: one event in, one acknowledgement out once it is durable. */
export function postEvent(exchange: Exchange, body: Buffer, context: PostContext): void {
  const parsed = parseEvent(body, parseContext(exchange, context));
  const { admitted, ingestor } = context;
  if (!parsed.ok) {
    exchange.scope.metrics.events(admitted.tenant.id, parsed.code, 1, body.length);
    exchange.refuse(parsed.code, detailOf(parsed.violations), { violations: parsed.violations });
    return;
  }
  ingestor.accept(admitted.tenant, [parsed.parts]).then(
    (results) => answer(exchange, results[0] as IngestResult),
    (error: unknown) => exchange.fail(error),
  );
}

export function parseContext(exchange: Exchange, context: PostContext): ParseContext {
  return {
    tenantId: context.admitted.tenant.id,
    source: SOURCE,
    traceId: exchange.traceId,
    idempotencyKey: context.idempotencyKey,
    eventBytesMax: context.eventBytesMax,
    ids: exchange.scope.ids,
  };
}

function answer(exchange: Exchange, result: IngestResult): void {
  if (result.type === "conflict") {
    const { detail, violation } = conflictOf(result);
    exchange.refuse("idempotency_conflict", detail, { violations: [violation] });
  } else {
    exchange.reply(202, `{${ackMembers(result)}}`);
  }
}

export function conflictOf({ field, eventId }: Extract<IngestResult, { type: "conflict" }>) {
  const detail = `this ${field} was used before with another event (event_id ${eventId})`;
  return { detail, violation: { pointer: `/${field}`, code: "already_used" as const, detail } };
}
