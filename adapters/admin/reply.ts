import { isUtf8 } from "node:buffer";
import type { FastifyReply } from "fastify";
import { timestamp } from "../../core/canonical/codec.ts";
import { ERROR_CODES, isRetryable, PulseGateError } from "../../core/canonical/errors.ts";
import type { ErrorCode } from "../../core/canonical/errors.ts";
import type { DeadLetter, LaneState, StreamBounds } from "../../core/ingestion/log.ts";
import { formatPosition, laneKey } from "../../core/ingestion/log.ts";
import type { ConfigState, LaneStatus } from "./ports.ts";

/** Answers with an RFC 9457 problem document. */
export async function sendProblem(reply: FastifyReply, error: PulseGateError): Promise<void> {
  const { http, title } = ERROR_CODES[error.code];
  const body = {
    type: `urn:pulsegate:error:${error.code}`,
    title,
    status: http,
    detail: error.message,
    code: error.code,
    retryable: isRetryable(error.code),
    ...(error.violations.length > 0 ? { errors: error.violations } : {}),
    trace_id: reply.request.id,
  };
  if (error.code === "unauthenticated") reply.header("www-authenticate", 'Bearer realm="pulsegate-admin"');
  if (error.retryAfterMs !== undefined) reply.header("retry-after", Math.ceil(error.retryAfterMs / 1_000));
  // As bytes: a text would be given a charset parameter, which the media type does not have.
  const bytes = Buffer.from(JSON.stringify(body));
  await reply.code(http).header("content-type", "application/problem+json").send(bytes);
}

/** Any failure of a handler as the one error class; what isn't ours to explain is `internal`. */
export function asPulseGateError(error: unknown): PulseGateError {
  if (error instanceof PulseGateError) return error;
  const { statusCode } = error as { statusCode?: unknown };
  const code: ErrorCode =
    typeof statusCode === "number" && statusCode >= 400 && statusCode < 500 ? "malformed_request" : "internal";
  const detail = code === "internal" ? "see PulseGate's log" : (error as Error).message;
  return new PulseGateError(code, detail, { cause: error });
}

export function deadLetterId(letter: DeadLetter): string {
  return `${laneKey(letter.lane)}/${letter.sequence}`;
}

/** One line of a listing. */
export function deadLetterSummary(letter: DeadLetter) {
  const { lane, sequence } = letter;
  return {
    id: deadLetterId(letter),
    tenant: lane.stream.tenantId,
    sink: lane.sink,
    position: formatPosition(lane.stream, sequence),
    event_id: letter.eventId,
    event_type: letter.eventType,
    received_at: timestamp(letter.receivedAt),
    died_at: timestamp(letter.diedAt),
    stage: letter.stage,
    code: letter.code,
    message: letter.message,
    attempts: letter.attempts.length,
    config_revision: letter.configRevision,
  };
}

/**
 * The whole record as JSON text. The event stands in it byte for byte, big numbers included; bytes that
 * are no JSON (stage `decode`) stand there as `event_base64`.
 */
export function deadLetterJson(letter: DeadLetter): string {
  const record = JSON.stringify({
    ...deadLetterSummary(letter),
    response: letter.response,
    attempts: letter.attempts.map(({ at, reason }) => ({ at: timestamp(at), reason })),
    plugins: letter.plugins,
  });
  const event = isJson(letter.bytes)
    ? `"event":${letter.bytes.toString("utf8")}`
    : `"event_base64":"${letter.bytes.toString("base64")}"`;
  return `${record.slice(0, -1)},${event}}`;
}

function isJson(bytes: Buffer): boolean {
  try {
    JSON.parse(bytes.toString("utf8"));
    return isUtf8(bytes);
  } catch {
    return false;
  }
}

interface LaneNow {
  readonly tenantId: string;
  readonly partition: number;
  readonly sink: string;
  readonly state: LaneState;
  readonly bounds: StreamBounds;
}

export function laneView({ tenantId, partition, sink, state, bounds }: LaneNow, status: LaneStatus | undefined) {
  return {
    tenant: tenantId,
    partition,
    sink,
    start: state.start,
    cursor: state.cursor,
    end: bounds.end,
    lag_events: bounds.end - state.cursor,
    breaker: status?.breaker,
    retrying: status?.retrying,
    last_error: status?.lastError,
  };
}

/** accepted = delivered + filtered + dead + erased + pending; `imbalance` is what is missing, and 0. */
export function ledgerView({ tenantId, partition, sink, state, bounds }: LaneNow) {
  const filtered = Object.values(state.filtered).reduce((sum, events) => sum + events, 0);
  const accepted = bounds.end - state.start;
  const pending = bounds.end - state.cursor;
  const counted = state.delivered + filtered + state.dead + state.erased + pending;
  return {
    tenant: tenantId,
    partition,
    sink,
    accepted,
    delivered: state.delivered,
    filtered,
    filtered_by_reason: state.filtered,
    dead: state.dead,
    erased: state.erased,
    pending,
    imbalance: accepted - counted,
  };
}

export function configView(state: ConfigState) {
  return {
    revision: state.revision,
    applied_at: timestamp(state.appliedAt),
    tenants: state.tenantIds.length,
    refused: state.refused === undefined ? null : { at: timestamp(state.refused.at), problems: state.refused.problems },
  };
}
