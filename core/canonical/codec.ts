import type { CanonicalEvent, EventSource } from "./event.ts";
import { parsePayload, type Spellings, writePayload } from "./payload-text.ts";

/**
 * The canonical bytes of an event: UTF-8 JSON with a fixed member order, the payload last and
 * exactly as it came. Both times are first and start at fixed offsets, so that a log can stamp them in place:
 *
 *     {"received_at":"2025-03-01T12:00:00.000Z","occurred_at":…,"event_id":…,"tenant_id":…,"source":…
 *      [,"trace_id":…][,"idempotency_key":…],"event_type":…,"payload":…}
 *
 * The bytes from `"event_type"` on are the event's content: what a retry must repeat.
 */
export interface EventParts {
  readonly eventId: string;
  readonly tenantId: string;
  readonly eventType: string;
  /** Absent: the same as `received_at`; the log stamps both. */
  readonly occurredAt?: string | undefined;
  readonly source: EventSource;
  readonly traceId?: string | undefined;
  readonly idempotencyKey?: string | undefined;
  /** The payload's JSON text, an object, passed on byte for byte. */
  readonly payload: Uint8Array;
}

const RECEIVED_AT_OFFSET = '{"received_at":"'.length;
const UNSTAMPED = "0000-00-00T00:00:00.000Z";
const HEAD_START = `{"received_at":"${UNSTAMPED}","occurred_at":"`;
const OCCURRED_AT_OFFSET = HEAD_START.length;
// No member of the head can hold these marks: quotes within its strings are escaped.
const PAYLOAD_MARK = Buffer.from(',"payload":');
const CONTENT_MARK = Buffer.from(',"event_type":');
const CLOSING_BRACE = 0x7d;
const ZERO = 0x30;

/** The canonical bytes of an event that no log has stamped yet. */
export function encodeParts(parts: EventParts): Buffer {
  if (!template.fits(parts)) template.become(parts, unstampedHead(parts));
  const { payload } = parts;
  const headBytes = template.head.length;
  const bytes = Buffer.allocUnsafe(headBytes + payload.length + 1);
  bytes.set(template.head, 0);
  template.fill(bytes, parts);
  bytes.set(payload, headBytes);
  bytes[bytes.length - 1] = CLOSING_BRACE;
  return bytes;
}

/**
 * The head of the event that was encoded last. Most heads differ from the one before in ids and a time of the
 * same length: copying it and writing these costs less than half of making a text of all.
 */
class HeadTemplate {
  head: Buffer = Buffer.alloc(0);
  private canBeCopied = false;
  private eventId = "";
  private tenantId = "";
  private eventType = "";
  private occurredAt = UNSTAMPED;
  private source = "";
  private traceId: string | undefined;
  private traceAt = 0;

  fits(parts: EventParts): boolean {
    return (
      this.canBeCopied &&
      parts.eventId.length === this.eventId.length &&
      parts.eventType === this.eventType &&
      parts.tenantId === this.tenantId &&
      parts.traceId?.length === this.traceId?.length &&
      parts.idempotencyKey === undefined &&
      parts.source === this.source &&
      (parts.occurredAt ?? UNSTAMPED).length === this.occurredAt.length &&
      !NEEDS_ESCAPE.test(parts.eventId)
    );
  }

  become(parts: EventParts, head: string): void {
    // Every string of the head is ASCII by the patterns in event.ts, so characters are bytes.
    this.head = Buffer.from(head, "latin1");
    this.canBeCopied = parts.idempotencyKey === undefined && !NEEDS_ESCAPE.test(parts.eventId);
    this.eventId = parts.eventId;
    this.tenantId = parts.tenantId;
    this.eventType = parts.eventType;
    this.occurredAt = parts.occurredAt ?? UNSTAMPED;
    this.source = parts.source;
    this.traceId = parts.traceId;
    this.traceAt = head.indexOf(TRACE_MARK) + TRACE_MARK.length;
  }

  /** Writes what differs into a copy of the head. */
  fill(bytes: Buffer, { eventId, traceId, occurredAt = UNSTAMPED }: EventParts): void {
    if (!this.canBeCopied) return;
    if (occurredAt !== this.occurredAt) bytes.write(occurredAt, OCCURRED_AT_OFFSET, occurredAt.length, "latin1");
    const idAt = OCCURRED_AT_OFFSET + occurredAt.length + BEFORE_ID.length;
    if (eventId !== this.eventId) bytes.write(eventId, idAt, eventId.length, "latin1");
    if (traceId === undefined || traceId === this.traceId) return;
    bytes.write(traceId, this.traceAt, traceId.length, "latin1");
    // The others of its request have the same.
    this.head.write(traceId, this.traceAt, traceId.length, "latin1");
    this.traceId = traceId;
  }
}

const BEFORE_ID = '","event_id":"';
// No id can hold it: quotes within ids are escaped.
const TRACE_MARK = '"trace_id":"';

/** Parts were validated: only event ids and keys may hold characters that JSON escapes. */
function unstampedHead(parts: EventParts): string {
  let head = `${HEAD_START}${parts.occurredAt ?? UNSTAMPED}","event_id":${quoted(parts.eventId)},"tenant_id":"${parts.tenantId}","source":"${parts.source}"`;
  if (parts.traceId !== undefined) head += `,"trace_id":"${parts.traceId}"`;
  if (parts.idempotencyKey !== undefined) head += `,"idempotency_key":${quoted(parts.idempotencyKey)}`;
  return `${head},"event_type":"${parts.eventType}","payload":`;
}

const NEEDS_ESCAPE = /["\\]/;

function quoted(text: string): string {
  return NEEDS_ESCAPE.test(text) ? JSON.stringify(text) : `"${text}"`;
}

const template = new HeadTemplate();

/**
 * Writes the time of acceptance into canonical bytes, in place; also into `occurred_at` where the
 * client gave none. For log drivers only, once, before the bytes are stored.
 */
export function stampReceivedAt(bytes: Buffer, receivedAtMs: number): void {
  if (receivedAtMs !== stampMs) {
    stamp.write(timestamp(receivedAtMs), "latin1");
    stampMs = receivedAtMs;
  }
  bytes.set(stamp, RECEIVED_AT_OFFSET);
  // Month 00 is no date a client can have given: it marks an absent occurred_at.
  const month = OCCURRED_AT_OFFSET + "0000-".length;
  if (bytes[month] === ZERO && bytes[month + 1] === ZERO) bytes.set(stamp, OCCURRED_AT_OFFSET);
}

/** The text of one time as bytes: one commit stamps many events with it. */
const stamp = Buffer.alloc(UNSTAMPED.length);
let stampMs = Number.NaN;

let cachedMs = Number.NaN;
let cachedText = "";

/** RFC 3339 UTC with milliseconds. One commit stamps many events with one time, so the last text is kept. */
export function timestamp(ms: number): string {
  if (ms !== cachedMs) {
    cachedText = new Date(ms).toISOString();
    cachedMs = ms;
  }
  return cachedText;
}

/** The bytes that a repeated event must share with the first: event type and payload. */
export function contentOf(bytes: Buffer): Buffer {
  return bytes.subarray(bytes.indexOf(CONTENT_MARK));
}

/** The payload's JSON text within canonical bytes. */
export function payloadOf(bytes: Buffer): Buffer {
  return bytes.subarray(bytes.indexOf(PAYLOAD_MARK) + PAYLOAD_MARK.length, bytes.length - 1);
}

/** The same event without its payload, as many bytes long: `{}`, and spaces behind it. */
export function withoutPayload(bytes: Buffer): Buffer {
  const from = bytes.indexOf(PAYLOAD_MARK) + PAYLOAD_MARK.length;
  const erased = Buffer.alloc(bytes.length, " ");
  bytes.copy(erased, 0, 0, from);
  erased.write("{}", from, "latin1");
  erased[bytes.length - 1] = CLOSING_BRACE;
  return erased;
}

/** As `withoutPayload`, without the room that the payload took. */
export function cutPayload(bytes: Buffer): Buffer {
  const from = bytes.indexOf(PAYLOAD_MARK) + PAYLOAD_MARK.length;
  return Buffer.concat([bytes.subarray(0, from), Buffer.from("{}}")]);
}

export function receivedAtOf(bytes: Buffer): number {
  return Date.parse(bytes.toString("latin1", RECEIVED_AT_OFFSET, RECEIVED_AT_OFFSET + UNSTAMPED.length));
}

interface Origin {
  readonly bytes: Buffer;
  readonly head: Omit<CanonicalEvent, "payload">;
  payloadRead: boolean;
  payload: Record<string, unknown> | undefined;
  spellings: Spellings | undefined;
}

const ORIGIN = Symbol("origin");
type Decoded = CanonicalEvent & { [ORIGIN]?: Origin };

/** One for all events: closures of each event's own cost more than all the rest of it. */
const LAZY_PAYLOAD: PropertyDescriptor & ThisType<Required<Decoded>> = {
  enumerable: true,
  configurable: true,
  get() {
    const origin = this[ORIGIN];
    origin.payloadRead = true;
    return parsedPayload(origin);
  },
  set(value: Record<string, unknown>) {
    const origin = this[ORIGIN];
    origin.payloadRead = true;
    origin.payload = value;
  },
};

/**
 * The event that canonical bytes stand for. Its payload is parsed when first read; numbers that a
 * double can't hold exactly are raw JSON in it, and writing it again loses nothing (payload-text.ts).
 */
export function decodeEvent(bytes: Buffer): CanonicalEvent {
  const payloadMark = bytes.indexOf(PAYLOAD_MARK);
  const head = JSON.parse(`${bytes.toString("latin1", 0, payloadMark)}}`) as Omit<CanonicalEvent, "payload">;
  const event: Decoded = Object.defineProperty({ ...head } as Decoded, "payload", LAZY_PAYLOAD);
  event[ORIGIN] = { bytes, head, payloadRead: false, payload: undefined, spellings: undefined };
  return event;
}

/**
 * The canonical bytes of an event that went through the pipeline. An event that nothing touched
 * gives the very bytes that were stored; an untouched payload is passed on without a parse.
 */
export function encodeEvent(event: CanonicalEvent): Buffer {
  const origin = originOf(event);
  if (origin !== undefined && !origin.payloadRead && sameHead(event, origin.head)) return origin.bytes;
  const payload = payloadJson(event);
  return encodeAs(event, payload);
}

function encodeAs(event: CanonicalEvent, payload: Uint8Array): Buffer {
  const { received_at, occurred_at, event_id, tenant_id, source, trace_id, idempotency_key, event_type } = event;
  // A transform may have put anything into them, so all are escaped; JSON leaves absent ones out.
  const head = JSON.stringify({
    received_at,
    occurred_at,
    event_id,
    tenant_id,
    source,
    trace_id,
    idempotency_key,
    event_type,
  });
  return Buffer.concat([Buffer.from(`${head.slice(0, -1)},"payload":`, "utf8"), payload, Buffer.from("}")]);
}

/**
 * The payload's JSON text: as it came when no transform has read it, else written anew. Throws a TypeError on what
 * is no JSON.
 */
export function payloadJson(event: CanonicalEvent): Buffer {
  const origin = originOf(event);
  if (origin !== undefined && !origin.payloadRead) return payloadOf(origin.bytes);
  const text = writePayload(event.payload, origin?.spellings);
  if (text === undefined) throw new TypeError("the payload is no JSON");
  return Buffer.from(text, "utf8");
}

/**
 * The payload to look at, never to change: unlike `event.payload`, this leaves the event's bytes what
 * they are, and a later reader gets the same parse.
 */
export function payloadView(event: CanonicalEvent): Readonly<Record<string, unknown>> {
  const origin = originOf(event);
  if (origin === undefined || origin.payloadRead) return event.payload;
  return parsedPayload(origin);
}

function parsedPayload(origin: Origin): Record<string, unknown> {
  if (origin.payload !== undefined) return origin.payload;
  const { payload, spellings } = parsePayload(payloadOf(origin.bytes).toString("utf8"));
  origin.payload = payload;
  origin.spellings = spellings;
  return origin.payload;
}

/** The event under another type; a payload that nobody has read stays unread, which a copy by spreading would not leave it. */
export function withEventType(event: CanonicalEvent, event_type: string): CanonicalEvent {
  const origin = originOf(event);
  if (origin === undefined || origin.payloadRead) return { ...event, event_type };
  const copy = Object.defineProperties({}, Object.getOwnPropertyDescriptors(event)) as Decoded;
  copy.event_type = event_type;
  copy[ORIGIN] = { ...origin };
  return copy;
}

/** Whether the payload has numbers that are written as they came, and not as JavaScript spells them. */
export function hasOwnSpellings(event: CanonicalEvent): boolean {
  return originOf(event)?.spellings !== undefined;
}

/** Copying an event reads its payload: what a copy carries says "read", and its payload is written anew. */
function originOf(event: CanonicalEvent): Origin | undefined {
  return (event as Decoded)[ORIGIN];
}

function sameHead(event: CanonicalEvent, head: Omit<CanonicalEvent, "payload">): boolean {
  return (
    event.event_type === head.event_type &&
    event.occurred_at === head.occurred_at &&
    event.trace_id === head.trace_id &&
    event.idempotency_key === head.idempotency_key &&
    event.event_id === head.event_id &&
    event.tenant_id === head.tenant_id &&
    event.received_at === head.received_at &&
    event.source === head.source
  );
}
