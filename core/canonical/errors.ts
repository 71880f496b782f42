/** What a caller should do with an error: change the input, try again, park the event, or page us. */
export type Disposition = "reject" | "retry" | "dead-letter" | "bug";

interface CodeRow {
  readonly http: number;
  readonly grpc: string;
  readonly disposition: Disposition;
  readonly title: string;
}

/**
 * Every error code that PulseGate answers, on every wire. The reference page and the OpenAPI
 * document are generated from this table. 4xx only where the client must change something.
 */
export const ERROR_CODES = {
  // The request as a whole
  malformed_json: { http: 400, grpc: "INVALID_ARGUMENT", disposition: "reject", title: "The body is not valid JSON" },
  malformed_request: { http: 400, grpc: "INVALID_ARGUMENT", disposition: "reject", title: "The request is malformed" },
  malformed_encoding: {
    http: 400,
    grpc: "INVALID_ARGUMENT",
    disposition: "reject",
    title: "The compressed body can't be decoded",
  },
  unauthenticated: { http: 401, grpc: "UNAUTHENTICATED", disposition: "reject", title: "A valid API key is required" },
  forbidden: {
    http: 403,
    grpc: "PERMISSION_DENIED",
    disposition: "reject",
    title: "The credential does not allow this",
  },
  not_found: { http: 404, grpc: "NOT_FOUND", disposition: "reject", title: "No such resource" },
  method_not_allowed: {
    http: 405,
    grpc: "UNIMPLEMENTED",
    disposition: "reject",
    title: "The method is not allowed here",
  },
  conflict: { http: 409, grpc: "FAILED_PRECONDITION", disposition: "reject", title: "The state does not allow this" },
  precondition_failed: {
    http: 412,
    grpc: "ABORTED",
    disposition: "reject",
    title: "It was changed since you looked",
  },
  precondition_required: {
    http: 428,
    grpc: "FAILED_PRECONDITION",
    disposition: "reject",
    title: "The version that you have seen is required (If-Match)",
  },
  request_timeout: {
    http: 408,
    grpc: "DEADLINE_EXCEEDED",
    disposition: "retry",
    title: "The request did not arrive in time",
  },
  body_too_large: {
    http: 413,
    grpc: "INVALID_ARGUMENT",
    disposition: "reject",
    title: "The body is larger than the limit",
  },
  event_too_large: {
    http: 413,
    grpc: "INVALID_ARGUMENT",
    disposition: "reject",
    title: "The event is larger than the limit",
  },
  batch_too_large: {
    http: 413,
    grpc: "INVALID_ARGUMENT",
    disposition: "reject",
    title: "The batch holds more events than the limit",
  },
  unsupported_media_type: {
    http: 415,
    grpc: "INVALID_ARGUMENT",
    disposition: "reject",
    title: "The media type is not supported",
  },
  unsupported_encoding: {
    http: 415,
    grpc: "INVALID_ARGUMENT",
    disposition: "reject",
    title: "The content encoding is not supported",
  },
  headers_too_large: {
    http: 431,
    grpc: "INVALID_ARGUMENT",
    disposition: "reject",
    title: "The request headers are too large",
  },
  invalid_config: {
    http: 422,
    grpc: "INVALID_ARGUMENT",
    disposition: "reject",
    title: "The configuration is not valid",
  },
  // One event
  invalid_event: { http: 422, grpc: "INVALID_ARGUMENT", disposition: "reject", title: "The event is not valid" },
  idempotency_conflict: {
    http: 422,
    grpc: "INVALID_ARGUMENT",
    disposition: "reject",
    title: "The same id or key was used with another event",
  },
  quota_exceeded: {
    http: 429,
    grpc: "RESOURCE_EXHAUSTED",
    disposition: "retry",
    title: "The tenant's quota is used up",
  },
  // Our side
  log_unavailable: {
    http: 503,
    grpc: "UNAVAILABLE",
    disposition: "retry",
    title: "The ingestion log can't take events now",
  },
  log_full: { http: 503, grpc: "UNAVAILABLE", disposition: "retry", title: "The ingestion log's storage is full" },
  overloaded: { http: 503, grpc: "UNAVAILABLE", disposition: "retry", title: "PulseGate is at capacity" },
  shutting_down: { http: 503, grpc: "UNAVAILABLE", disposition: "retry", title: "PulseGate is shutting down" },
  internal: { http: 500, grpc: "INTERNAL", disposition: "bug", title: "An unexpected fault of PulseGate" },
  // The log port (never answered as such on a wire)
  log_corrupt: { http: 503, grpc: "UNAVAILABLE", disposition: "bug", title: "The ingestion log is damaged" },
  log_unsafe: {
    http: 503,
    grpc: "UNAVAILABLE",
    disposition: "retry",
    title: "The ingestion log's backend may lose what it is given",
  },
  log_in_use: {
    http: 503,
    grpc: "UNAVAILABLE",
    disposition: "reject",
    title: "The data folder is in use by another process",
  },
  fenced: { http: 503, grpc: "ABORTED", disposition: "bug", title: "The claim on the lane was lost" },
  version_conflict: { http: 409, grpc: "ABORTED", disposition: "retry", title: "The record was changed by another" },
} as const satisfies Record<string, CodeRow>;

export type ErrorCode = keyof typeof ERROR_CODES;

/** `retryable` on every wire: the same request may succeed later. True for every fault of ours, since a repeat is safe. */
export function isRetryable(code: ErrorCode): boolean {
  const { disposition, http } = ERROR_CODES[code];
  return disposition === "retry" || http >= 500;
}

/** One thing wrong with an input: where (RFC 6901 pointer), what kind, in words. */
export interface Violation {
  /** RFC 6901 JSON pointer into the event as sent; "" is the whole. */
  readonly pointer: string;
  readonly code: ViolationCode;
  readonly detail: string;
}

/** Codes of `errors[].code` in a problem document. */
export const VIOLATION_CODES = {
  invalid_json: "The text is not valid JSON",
  invalid_utf8: "The text is not valid UTF-8",
  not_an_object: "A JSON object is required",
  missing: "A required member is absent",
  wrong_type: "The member has the wrong JSON type",
  invalid_format: "The member does not have the required form",
  unknown_member: "The member is not known in the structured form",
  reserved_member: "The member is PulseGate's to set",
  duplicate_member: "The member appears more than once",
  too_deep: "The JSON is nested too deeply",
  number_out_of_range: "The number is too large to be represented",
  too_large: "The event is larger than the limit",
  header_mismatch: "The member and the header say different things",
  already_used: "The value was used before with another event",
} as const;

export type ViolationCode = keyof typeof VIOLATION_CODES;

export interface PulseGateErrorOptions {
  readonly cause?: unknown;
  readonly violations?: readonly Violation[];
  /** When the caller may try again, in milliseconds from now. */
  readonly retryAfterMs?: number;
}

/** The one error class: `code` decides everything, `message` is for people. */
export class PulseGateError extends Error {
  readonly code: ErrorCode;
  readonly violations: readonly Violation[];
  readonly retryAfterMs: number | undefined;

  constructor(code: ErrorCode, message: string, options: PulseGateErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = "PulseGateError";
    this.code = code;
    this.violations = options.violations ?? [];
    this.retryAfterMs = options.retryAfterMs;
  }
}

export function isErrorCode(error: unknown, code: ErrorCode): boolean {
  return error instanceof PulseGateError && error.code === code;
}
