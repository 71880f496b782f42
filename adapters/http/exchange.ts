import type { ErrorCode, Violation } from "../../core/canonical/errors.ts";
import { ERROR_CODES, PulseGateError } from "../../core/canonical/errors.ts";
import type { Ids } from "../../core/canonical/id.ts";
import { traceIdOf } from "../../core/canonical/trace.ts";
import type { Clock, Logger } from "../../core/environment.ts";
import type { Admitted } from "../../core/ingestion/admit.ts";
import type { IngestMetrics } from "../../core/ingestion/metrics.ts";
import type { Capacity } from "../../core/qps/capacity.ts";
import type { QuotaPolicy, TenantQuota } from "../../core/qps/quota.ts";
import type { BodyOwner } from "./body.ts";
import { problemJson } from "./problem.ts";
import type { PacedRefusals } from "./paced-refusals.ts";
import type { SlowBodies } from "./slow-bodies.ts";
import { rateLimitHeaders } from "./rate-limit.ts";
import type { ReadyAnswer, WireRequest, WireResponse } from "./wire.ts";

/** What all exchanges of one server share. */
export interface ExchangeScope {
  readonly clock: Clock;
  readonly ids: Ids;
  readonly logger: Logger;
  readonly metrics: IngestMetrics;
  readonly capacity: Capacity;
  readonly slowBodies: SlowBodies;
  readonly pacedRefusals: PacedRefusals;
  /** No new connections any more: answers say `Connection: close`. */
  draining: boolean;
}

export interface Refusal {
  readonly violations?: readonly Violation[] | undefined;
  /** Pairs of name and value. */
  readonly headers?: readonly string[];
  readonly retryAfterMs?: number | undefined;
  readonly violatedPolicies?: readonly QuotaPolicy[] | undefined;
}

/** A refusal that is given again and again: all of it but the trace id. ASCII only. */
export interface ReadyRefusal {
  readonly code: ErrorCode;
  /** For the metrics. */
  readonly reasons: readonly string[];
  /** Pairs of name and value, `Content-Length` included. */
  readonly headers: readonly string[];
  readonly beforeTraceId: string;
  readonly afterTraceId: string;
}

interface Answer {
  readonly status: number;
  readonly body: string;
  readonly bytes: number;
  /** Pairs of name and value. */
  readonly headers: string[];
  /** Seconds. */
  readonly retryAfter?: number | undefined;
}

/** One request and its one answer. */
export class Exchange implements BodyOwner {
  readonly request: WireRequest;
  readonly response: WireResponse;
  readonly scope: ExchangeScope;
  readonly startedMs: number;
  admitted: Admitted | undefined;
  /** Of the tenant, if it has any: each answer tells what is left of it. */
  quota: TenantQuota | undefined;
  answered = false;
  /** The client waits for `100 Continue` before it sends the body. */
  continues = false;
  /** The connection is broken or late: nothing more is read from it, and it ends with this answer. */
  closing = false;
  /** What came of a body that is on its way. */
  bodyBytes = 0;
  /** Cost of what is under way; held until the answer. */
  private held = 0;
  private knownTraceId: string | undefined;

  constructor(request: WireRequest, response: WireResponse, scope: ExchangeScope) {
    this.request = request;
    this.response = response;
    this.scope = scope;
    this.startedMs = scope.clock.monotonic();
  }

  /** Of the `traceparent`, or a new one. */
  get traceId(): string {
    if (this.knownTraceId === undefined) {
      const traceparent = this.request.headers.traceparent;
      const given = typeof traceparent === "string" ? traceIdOf(traceparent) : undefined;
      this.knownTraceId = given ?? this.scope.ids.traceId();
    }
    return this.knownTraceId;
  }

  /** Counts as under way, in the tenant's name, until the answer; false when there was no room for it. */
  hold(cost: number): boolean {
    if (this.answered || this.admitted === undefined) return true;
    const { id, weight } = this.admitted.tenant;
    const { capacity } = this.scope;
    const hasRoom = capacity.admits(id, weight, capacity.costMax);
    capacity.enter(id, weight, cost);
    this.held += cost;
    return hasRoom;
  }

  /** More of the body is to come than its first chunk. */
  comes(bytes: number): void {
    if (this.bodyBytes === 0 && !this.answered) this.scope.slowBodies.watch(this);
    this.bodyBytes = bytes;
  }

  giveUp(detail: string): void {
    this.closing = true;
    this.refuse("request_timeout", detail);
  }

  whole(): void {
    if (this.bodyBytes > 0) this.scope.slowBodies.leave(this);
  }

  letGo(): void {
    this.whole();
    if (this.held > 0) this.scope.capacity.leave(this.admitted?.tenant.id ?? "", this.held);
    this.held = 0;
  }

  /** Answers with JSON text that holds ASCII only. */
  reply(status: number, json: string): void {
    this.answer({ status, body: json, bytes: json.length, headers: ["Content-Type", "application/json"] });
  }

  /** Answers with JSON text of any characters. */
  replyText(status: number, json: string): void {
    this.answer({ status, body: json, bytes: Buffer.byteLength(json), headers: ["Content-Type", "application/json"] });
  }

  /** Answers with a problem document. */
  refuse(code: ErrorCode, detail: string, refusal: Refusal = {}): void {
    const { http: status } = ERROR_CODES[code];
    const { violations, violatedPolicies } = refusal;
    const body = problemJson({ code, detail, traceId: this.traceId, violations, violatedPolicies });
    const headers = ["Content-Type", "application/problem+json", ...(refusal.headers ?? [])];
    const isLoad = status === 503 || status === 429;
    const retryAfter = isLoad ? retryAfterSeconds(refusal.retryAfterMs) : undefined;
    if (retryAfter !== undefined) {
      headers.push("Retry-After", String(retryAfter));
      for (const reason of violatedPolicies ?? [code])
        this.scope.metrics.backpressure(this.admitted?.tenant.id, reason);
    }
    this.answer({ status, body, bytes: Buffer.byteLength(body), headers, retryAfter });
  }

  /** As `refuse`, with what is ready: little more than the write is left. */
  refuseReady({ code, reasons, headers, beforeTraceId, afterTraceId }: ReadyRefusal): void {
    for (const reason of reasons) this.scope.metrics.backpressure(this.admitted?.tenant.id, reason);
    const body = beforeTraceId + this.traceId + afterTraceId;
    this.send({ status: ERROR_CODES[code].http, body, isAscii: true, headers });
  }

  /** Refuses by `answer`: after a while as long as there is no room for more than there is, else at once. */
  refuseInTurn(answer: () => void): void {
    const { capacity, pacedRefusals } = this.scope;
    if (capacity.isFull) pacedRefusals.later(this.response.source, () => guarded(this, answer));
    else answer();
  }

  /** Answers that we failed, whatever it was: the client is never told that it was its fault. */
  fail(error: unknown): void {
    const code = faultCode(error);
    const fields = { trace_id: this.traceId, tenant_id: this.admitted?.tenant.id, err: error };
    if (code === "internal") this.scope.logger.error(fields, "an unexpected fault while a request was handled");
    const retryAfterMs = error instanceof PulseGateError ? error.retryAfterMs : undefined;
    this.refuse(code, FAULT_DETAILS[code] ?? "the request failed; nothing is acknowledged", { retryAfterMs });
  }

  private answer({ status, body, bytes, headers, retryAfter }: Answer): void {
    headers.push("Content-Length", String(bytes));
    if (this.quota !== undefined) headers.push(...rateLimitHeaders(this.quota, retryAfter));
    this.send({ status, body, isAscii: bytes === body.length, headers });
  }

  private send(answer: ReadyAnswer): void {
    if (this.answered) return;
    this.answered = true;
    this.request.sink = undefined;
    this.letGo();
    if (!this.closing && hasUnreadBody(this.request)) this.response.sendEarly(answer);
    else this.response.send(answer, this.closing || this.scope.draining);
    this.scope.metrics.request({
      adapter: "http",
      tenantId: this.admitted?.tenant.id,
      status: answer.status,
      latencyMs: this.scope.clock.monotonic() - this.startedMs,
    });
  }
}

/** A fault of ours in a callback is answered, not left to end the process. */
export function guarded(exchange: Exchange, work: () => void): void {
  try {
    work();
  } catch (error) {
    exchange.fail(error);
  }
}

/** For `Retry-After`: whole seconds. */
export function retryAfterSeconds(ms = RETRY_AFTER_MS): number {
  return Math.max(1, Math.ceil(ms / 1000));
}

const RETRY_AFTER_MS = 1000;

/** Codes that a log may answer and a client may see; all else is a fault that we did not foresee. */
function faultCode(error: unknown): ErrorCode {
  if (!(error instanceof PulseGateError)) return "internal";
  if (error.code in FAULT_DETAILS) return error.code;
  return ERROR_CODES[error.code].http === 503 ? "log_unavailable" : "internal";
}

const FAULT_DETAILS: Partial<Record<ErrorCode, string>> = {
  log_unavailable: "whether the event was stored is unknown: repeat it with the same event_id or idempotency key",
  log_full: "the storage is full; nothing was acknowledged",
  overloaded: "too much is under way; nothing was acknowledged",
  shutting_down: "this instance is going down; nothing was acknowledged",
};

/** Bodies up to here are read to their end after an early answer, so that the connection can go on. */
const SKIPPED_BYTES_MAX = 64 * 1024;

function hasUnreadBody(request: WireRequest): boolean {
  if (request.complete) return false;
  const { "content-length": length, "transfer-encoding": encoding } = request.headers;
  if (encoding !== undefined) return true;
  return length !== undefined && Number(length) > SKIPPED_BYTES_MAX;
}
