import type { ErrorCode } from "../../core/canonical/errors.ts";
import { ERROR_CODES, VIOLATION_CODES } from "../../core/canonical/errors.ts";
import {
  EVENT_ID_PATTERN,
  IDEMPOTENCY_KEY_PATTERN,
  NAME_PATTERN,
  TRACE_ID_PATTERN,
} from "../../core/canonical/event.ts";
import { ROUTES } from "./routes.ts";
import type { Operation } from "./routes.ts";

const ref = (name: string) => ({ $ref: `#/components/schemas/${name}` });
const json = (schema: object) => ({ "application/json": { schema } });
const text = (pattern: RegExp, description: string) => ({ type: "string", pattern: pattern.source, description });
const time = (description: string) => ({ type: "string", format: "date-time", description });

const RETRY_AFTER = { "Retry-After": { schema: { type: "integer" }, description: "Seconds" } };
const LOAD_HEADERS = {
  503: RETRY_AFTER,
  429: {
    ...RETRY_AFTER,
    "RateLimit-Policy": { schema: { type: "string" }, description: "The tenant's quotas, on every answer" },
    RateLimit: { schema: { type: "string" }, description: "What is left of them, on every answer" },
  },
};

const POST_CODES: readonly ErrorCode[] = [
  "malformed_json",
  "malformed_request",
  "malformed_encoding",
  "unauthenticated",
  "request_timeout",
  "body_too_large",
  "unsupported_media_type",
  "unsupported_encoding",
  "headers_too_large",
  "quota_exceeded",
  "internal",
  "log_unavailable",
  "log_full",
  "overloaded",
  "shutting_down",
];

const ENCODED = {
  name: "Content-Encoding",
  in: "header",
  schema: { enum: ["gzip", "br", "zstd", "identity"] },
  description: "Limits count decoded bytes.",
};

const TRACEPARENT = {
  name: "traceparent",
  in: "header",
  schema: { type: "string" },
  description:
    "W3C trace context: gives the trace id of the request and of events that bring none. Ignored when malformed.",
};

const OPERATIONS: Readonly<Record<Operation, object>> = {
  post_event: {
    summary: "Take one event",
    description:
      "202 means stored durably. A repeat of an id or key with the same event type and payload gives the first acknowledgement again.",
    parameters: [
      ENCODED,
      TRACEPARENT,
      {
        name: "Idempotency-Key",
        in: "header",
        schema: { type: "string" },
        description: "The same as the member idempotency_key: quoted (RFC 8941 string) or bare.",
      },
    ],
    requestBody: { required: true, content: json({ oneOf: [ref("StructuredEvent"), ref("FlatEvent")] }) },
    responses: {
      202: { description: "Stored durably", content: json(ref("Ack")) },
      ...problems([...POST_CODES, "event_too_large", "invalid_event", "idempotency_conflict"]),
    },
  },
  post_batch: {
    summary: "Take many events",
    description:
      "All right ones are stored in one step; each has its own result. 202 when all are stored, 207 when at least one (or each) is not.",
    parameters: [ENCODED, TRACEPARENT],
    requestBody: {
      required: true,
      content: {
        ...json({ type: "array", minItems: 1, items: { oneOf: [ref("StructuredEvent"), ref("FlatEvent")] } }),
        "application/x-ndjson": {
          schema: { type: "string", description: "One event per line; blank lines are skipped." },
        },
      },
    },
    responses: {
      202: { description: "All are stored durably", content: json(ref("BatchResults")) },
      207: { description: "At least one is not stored: look at the results", content: json(ref("BatchResults")) },
      ...problems([...POST_CODES, "batch_too_large"]),
    },
  },
  get_fate: {
    summary: "What became of an event",
    parameters: [
      {
        name: "event_id",
        in: "path",
        required: true,
        schema: { type: "string" },
        description: "The event's id or its position, percent-encoded. Events of other tenants are not found.",
      },
    ],
    responses: {
      200: { description: "The event's story up to now", content: json(ref("Fate")) },
      ...problems(["unauthenticated", "not_found", "internal", "log_unavailable"]),
    },
  },
  get_openapi: {
    summary: "This document",
    security: [],
    responses: { 200: { description: "OpenAPI 3.1", content: json({ type: "object" }) } },
  },
};

/** One response per status, naming the codes that come with it. */
function problems(codes: readonly ErrorCode[]): Record<string, object> {
  const byStatus = Map.groupBy(codes, (code) => ERROR_CODES[code].http);
  return Object.fromEntries([...byStatus].map(([status, group]) => [status, problemResponse(status, group)]));
}

function problemResponse(status: number, codes: readonly ErrorCode[]): object {
  const headers = status === 503 || status === 429 ? LOAD_HEADERS[status] : {};
  const description = codes.map((code) => `${code}: ${ERROR_CODES[code].title}`).join("; ");
  return { description, headers, content: { "application/problem+json": { schema: ref("Problem") } } };
}

const EVENT_MEMBERS = {
  event_type: text(NAME_PATTERN, "What happened."),
  event_id: text(EVENT_ID_PATTERN, "Unique per tenant; made when absent: from the idempotency key if there is one."),
  occurred_at: time("RFC 3339, kept as given; the time of acceptance when absent."),
  trace_id: text(TRACE_ID_PATTERN, "Goes before the request's traceparent."),
  idempotency_key: text(IDEMPOTENCY_KEY_PATTERN, "Unique per tenant within the deduplication window."),
  tenant_id: { type: "string", description: "Tolerated when it is the credential's tenant, else refused." },
};

const STORED = {
  event_id: EVENT_MEMBERS.event_id,
  position: { type: "string", description: "tenant/partition/sequence" },
  received_at: time("When it was stored."),
  duplicate: { const: true, description: "The event was stored before: this is its first acknowledgement." },
};

const SCHEMAS = {
  StructuredEvent: {
    type: "object",
    required: ["event_type", "payload"],
    properties: { ...EVENT_MEMBERS, payload: { type: "object" } },
    additionalProperties: false,
  },
  FlatEvent: {
    type: "object",
    description: "Every member that is not named here is payload.",
    required: ["event_type"],
    properties: {
      ...EVENT_MEMBERS,
      timestamp: time("The same as occurred_at; only one of them."),
      payload: false,
      received_at: false,
      source: false,
    },
  },
  Ack: {
    type: "object",
    required: ["event_id", "position", "received_at"],
    properties: STORED,
    additionalProperties: false,
  },
  BatchResults: {
    type: "object",
    required: ["results"],
    properties: { results: { type: "array", items: ref("BatchResult") } },
    additionalProperties: false,
  },
  BatchResult: {
    type: "object",
    required: ["index", "status"],
    properties: {
      index: { type: "integer", minimum: 0 },
      status: { type: "integer" },
      ...STORED,
      problem: ref("Problem"),
    },
    additionalProperties: false,
  },
  Problem: {
    type: "object",
    description: "RFC 9457",
    required: ["type", "title", "status", "detail", "code", "retryable", "trace_id"],
    properties: {
      type: { type: "string", format: "uri" },
      title: { type: "string" },
      status: { type: "integer" },
      detail: { type: "string" },
      code: { enum: Object.keys(ERROR_CODES) },
      retryable: { type: "boolean", description: "The same request may succeed later." },
      errors: { type: "array", items: ref("Violation") },
      "violated-policies": {
        type: "array",
        items: { enum: ["events", "bytes", "requests", "backlog"] },
        description: "The quotas that said no",
      },
      trace_id: { type: "string" },
    },
    additionalProperties: false,
  },
  Violation: {
    type: "object",
    required: ["pointer", "code", "detail"],
    properties: {
      pointer: { type: "string", description: "RFC 6901, into the event as sent" },
      code: { enum: Object.keys(VIOLATION_CODES) },
      detail: { type: "string" },
    },
    additionalProperties: false,
  },
  Fate: {
    type: "object",
    required: ["event_id", "event_type", "position", "received_at", "lanes"],
    properties: {
      ...{ event_id: STORED.event_id, event_type: EVENT_MEMBERS.event_type, position: STORED.position },
      received_at: STORED.received_at,
      trace_id: EVENT_MEMBERS.trace_id,
      lanes: { type: "array", items: ref("LaneFate") },
    },
    additionalProperties: false,
  },
  LaneFate: {
    type: "object",
    required: ["sink", "status"],
    properties: {
      sink: { type: "string" },
      status: { enum: ["pending", "delivered", "filtered", "dead", "erased", "settled"] },
      reason: { type: "string" },
      settled_at: time("When its outcome was written down."),
      config_revision: { type: "integer" },
      attempts: { type: "integer" },
      dead_letter: {
        type: "object",
        required: ["stage", "code", "message"],
        properties: { stage: { type: "string" }, code: { type: "string" }, message: { type: "string" } },
        additionalProperties: false,
      },
    },
    additionalProperties: false,
  },
};

/** Made from the routes and the error table, so that it can't name others. */
export const OPENAPI = {
  openapi: "3.1.0",
  info: {
    title: "PulseGate",
    version: "1",
    description: "Events in, durable before the answer. Errors are problem documents; `code` is stable.",
    license: { name: "Apache-2.0", identifier: "Apache-2.0" },
  },
  security: [{ apiKey: [] }, { bearer: [] }],
  paths: Object.fromEntries(
    ROUTES.map(({ path, methods }) => [
      path,
      Object.fromEntries(
        Object.entries(methods).map(([method, operation]) => [
          method.toLowerCase(),
          { operationId: operation, ...OPERATIONS[operation as Operation] },
        ]),
      ),
    ]),
  ),
  components: {
    securitySchemes: {
      apiKey: { type: "apiKey", in: "header", name: "X-API-Key" },
      bearer: { type: "http", scheme: "bearer" },
    },
    schemas: SCHEMAS,
  },
};

export const OPENAPI_JSON = JSON.stringify(OPENAPI);
