/**
 * The one shape that the core works with. Every protocol becomes it at the door;
 * every sink and transform sees it and nothing else.
 */
export type CanonicalEvent = {
  /** Unique per tenant; the deduplication key. Printable ASCII, 1–128 characters. */
  event_id: string;
  /** From the credential, never from the client's body. */
  tenant_id: string;
  /** What happened, e.g. `order_paid`. `[A-Za-z0-9_.:-]{1,128}`. */
  event_type: string;
  /** RFC 3339, as the client gave it; `received_at` when it gave none. */
  occurred_at: string;
  /** RFC 3339 UTC with milliseconds, set by the log; monotone within a stream. */
  received_at: string;
  payload: Record<string, unknown>;
  source: EventSource;
  trace_id?: string;
  idempotency_key?: string;
};

export type EventSource = "http" | "grpc" | "kafka";

/** Tenants and event types: safe in metrics, file names, topics and SQL strings. */
export const NAME_PATTERN = /^[A-Za-z0-9_.:-]{1,128}$/;
/** Event ids: printable ASCII without spaces, so that they fit a URL segment once encoded. */
export const EVENT_ID_PATTERN = /^[\x21-\x7e]{1,128}$/;
/** Idempotency keys: what a structured-field string may hold (RFC 8941). */
export const IDEMPOTENCY_KEY_PATTERN = /^[\x20-\x7e]{1,255}$/;
export const TRACE_ID_PATTERN = /^[A-Za-z0-9_.:-]{1,128}$/;
