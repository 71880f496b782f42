import { isUtf8 } from "node:buffer";
import type { EventParts } from "./codec.ts";
import type { ErrorCode, Violation } from "./errors.ts";
import type { EventSource } from "./event.ts";
import { EVENT_ID_PATTERN, IDEMPOTENCY_KEY_PATTERN, NAME_PATTERN, TRACE_ID_PATTERN } from "./event.ts";
import type { Ids } from "./id.ts";
import { derivedEventId } from "./id.ts";
import { memberName, pointerAt, pointerTo, repeatedMembers } from "./json-names.ts";
import { DEPTH_MAX, Members, scanObject, scanValue, skipSpace } from "./json-scan.ts";
import { FIELD, FIELD_COUNT, FIELD_NAMES, FIELD_POINTERS, fieldOf } from "./fields.ts";
import { flatPayload } from "./flat-payload.ts";
import { isPlainTimestamp, timestampFault } from "./timestamp.ts";

export interface ParseContext {
  /** The credential's tenant. */
  readonly tenantId: string;
  readonly source: EventSource;
  /** The request's; an event's own `trace_id` goes before it. */
  readonly traceId?: string | undefined;
  /** From the protocol's own header: the same thing as the member. */
  readonly idempotencyKey?: string | undefined;
  readonly eventBytesMax: number;
  readonly ids: Ids;
}

export type ParsedEvent =
  | { readonly ok: true; readonly parts: EventParts }
  | { readonly ok: false; readonly code: ErrorCode; readonly violations: readonly Violation[] };

/** Violations reported of one event; what goes beyond is left out. */
const VIOLATIONS_MAX = 32;

/**
 * Makes an event out of one JSON text, in either body form, or says all that is wrong with it.
 * The payload is the bytes as they came: in the structured form a view into `bytes`, valid as long as they are.
 */
export function parseEvent(bytes: Buffer, context: ParseContext): ParsedEvent {
  if (bytes.length > context.eventBytesMax) return tooLarge(bytes.length, context);
  if (!isUtf8(bytes)) return refused("malformed_json", [notUtf8("")]);
  return parseEventAt(bytes, 0, bytes.length, context);
}

/** As `parseEvent`, for the JSON text between two offsets of UTF-8 that was checked already. */
export function parseEventAt(bytes: Buffer, from: number, to: number, context: ParseContext): ParsedEvent {
  if (to - from > context.eventBytesMax) return tooLarge(to - from, context);
  const { event, behind } = parseElement(bytes, skipSpace(bytes, from, to), to, context);
  const rest = behind < 0 ? ~behind : skipSpace(bytes, behind, to);
  if (behind >= 0 && rest === to) return event as ParsedEvent;
  return refused("malformed_json", [invalidJson({ bytes, from, to, at: rest })]);
}

/**
 * Parses the event whose JSON text starts at `from` and ends before `to`. `behind` is the offset
 * behind it, or `~offset` of a syntax error, and then there is no event.
 */
export function parseElement(bytes: Buffer, from: number, to: number, context: ParseContext): Element {
  if (from < to && bytes[from] === OPEN_BRACE) {
    const behind = scanObject(bytes, from, to, members);
    if (behind < 0) return { behind, event: undefined };
    if (behind - from > context.eventBytesMax) return { behind, event: tooLarge(behind - from, context) };
    return { behind, event: eventOf(bytes, from, context) };
  }
  const behind = scanValue(bytes, from, to, []);
  return { behind, event: behind < 0 ? undefined : NOT_AN_OBJECT };
}

export interface Element {
  readonly behind: number;
  readonly event: ParsedEvent | undefined;
}

export function notUtf8(pointer: string): Violation {
  return { pointer, code: "invalid_utf8", detail: "the text must be valid UTF-8" };
}

/** Describes the syntax error at byte `at` of the text between `from` and `to`. */
export function invalidJson(text: { bytes: Buffer; from: number; to: number; at: number }): Violation {
  const { bytes, from, to, at } = text;
  const offset = at - from;
  const detail =
    at >= to
      ? `the text ends too early, at byte ${offset}`
      : `unexpected ${shown(bytes[at] as number)} at byte ${offset}`;
  return { pointer: pointerAt(bytes, from, at), code: "invalid_json", detail };
}

function shown(byte: number): string {
  return byte > 0x20 && byte < 0x7f ? `"${String.fromCharCode(byte)}"` : `byte 0x${byte.toString(16).padStart(2, "0")}`;
}

const OPEN_BRACE = 0x7b;
/** Scratch of the one scan that is under way: parsing is synchronous. */
const members = new Members();
/** Member index by field, or -1. */
const fields = new Int32Array(FIELD_COUNT);
/** Right from the start: no event has had it yet. */
let lastType = { text: "event", bytes: Buffer.from("event") };
/** Field by member index, or -1. */
let fieldOfMember = new Int8Array(64);

function tooLarge(bytes: number, context: ParseContext): ParsedEvent {
  const detail = `the event has ${bytes} bytes; the limit is ${context.eventBytesMax}`;
  return refused("event_too_large", [{ pointer: "", code: "too_large", detail }]);
}

function refused(code: ErrorCode, violations: readonly Violation[]): ParsedEvent {
  return { ok: false, code, violations };
}

const NOT_AN_OBJECT = refused("invalid_event", [
  { pointer: "", code: "not_an_object", detail: "an event must be a JSON object" },
]);

function eventOf(bytes: Buffer, start: number, context: ParseContext): ParsedEvent {
  const reader = new EventReader(bytes, context);
  reader.mapMembers();
  const structured = reader.has(FIELD.payload);
  const eventType = reader.eventType();
  if (!reader.has(FIELD.eventType)) reader.violate("/event_type", "missing", "event_type is required");
  const givenId = reader.text(FIELD.eventId, EVENT_ID_PATTERN, "1–128 printable ASCII characters without spaces");
  const traceId = reader.text(FIELD.traceId, TRACE_ID_PATTERN, "1–128 of A–Z a–z 0–9 _ . : -");
  const idempotencyKey = reader.idempotencyKey();
  const occurredAt = reader.occurredAt(structured);
  reader.refuseReserved();
  if (structured) reader.checkStructured();
  reader.checkScan(start);
  if (reader.violations !== undefined) return refused("invalid_event", reader.violations);
  return {
    ok: true,
    parts: {
      eventId:
        givenId ??
        (idempotencyKey === undefined ? context.ids.eventId() : derivedEventId(context.tenantId, idempotencyKey)),
      tenantId: context.tenantId,
      eventType: eventType as string,
      occurredAt,
      source: context.source,
      traceId: traceId ?? context.traceId ?? context.ids.traceId(),
      idempotencyKey,
      payload: structured ? reader.payload() : flatPayload(bytes, members, fieldOfMember),
    },
  };
}

/** Reads the members of the object that was scanned last. */
class EventReader {
  readonly bytes: Buffer;
  readonly context: ParseContext;
  violations: Violation[] | undefined;

  constructor(bytes: Buffer, context: ParseContext) {
    this.bytes = bytes;
    this.context = context;
  }

  violate(pointer: string, code: Violation["code"], detail: string): void {
    this.violations ??= [];
    if (this.violations.length < VIOLATIONS_MAX) this.violations.push({ pointer, code, detail });
  }

  /** Finds the members that PulseGate knows. */
  mapMembers(): void {
    if (fieldOfMember.length < members.count) fieldOfMember = new Int8Array(members.count * 2);
    fields.fill(-1);
    for (let i = 0; i < members.count; i++) {
      const field = this.fieldAt(i);
      fieldOfMember[i] = field;
      if (field >= 0 && (fields[field] as number) < 0) fields[field] = i;
    }
  }

  private fieldAt(index: number): number {
    if (members.escapedNames) return FIELD_NAMES.indexOf(memberName(this.bytes, members, index));
    return fieldOf(this.bytes, members.spans[index * 4] as number, members.spans[index * 4 + 1] as number);
  }

  has(field: number): boolean {
    return (fields[field] as number) >= 0;
  }

  /** Neighbours mostly are of one type: the last one that was right is kept, so that no string is made for each. */
  eventType(): string | undefined {
    const member = fields[FIELD.eventType] as number;
    if (member >= 0 && this.isString(member, lastType.bytes)) return lastType.text;
    const text = this.text(FIELD.eventType, NAME_PATTERN, "1–128 of A–Z a–z 0–9 _ . : -");
    if (text !== undefined) lastType = { text, bytes: Buffer.from(text) };
    return text;
  }

  /** Whether the member's value is this text, spelled without escapes. */
  private isString(member: number, text: Uint8Array): boolean {
    const from = members.spans[member * 4 + 2] as number;
    const to = members.spans[member * 4 + 3] as number;
    if (to - from !== text.length + 2 || this.bytes[from] !== QUOTE) return false;
    for (let i = 0; i < text.length; i++) if (this.bytes[from + 1 + i] !== text[i]) return false;
    return true;
  }

  /** The string of a member if it is there and right. */
  text(field: number, pattern: RegExp, form: string): string | undefined {
    const text = this.string(field);
    if (text === undefined || pattern.test(text)) return text;
    this.violate(FIELD_POINTERS[field] as string, "invalid_format", `must be ${form}`);
    return undefined;
  }

  private string(field: number): string | undefined {
    const member = fields[field] as number;
    if (member < 0) return undefined;
    const from = members.spans[member * 4 + 2] as number;
    const to = members.spans[member * 4 + 3] as number;
    if (this.bytes[from] !== QUOTE) {
      this.violate(FIELD_POINTERS[field] as string, "wrong_type", "must be a string");
      return undefined;
    }
    if (to - from > STRING_BYTES_MAX) {
      this.violate(FIELD_POINTERS[field] as string, "invalid_format", "is too long");
      return undefined;
    }
    // Read as Latin-1, which is quicker: all that is wanted is ASCII, and what is not stays refused.
    const text = this.bytes.toString("latin1", from + 1, to - 1);
    return text.includes("\\") ? (JSON.parse(`"${text}"`) as string) : text;
  }

  idempotencyKey(): string | undefined {
    const key = this.text(FIELD.idempotencyKey, IDEMPOTENCY_KEY_PATTERN, "1–255 printable ASCII characters");
    const header = this.context.idempotencyKey;
    if (header !== undefined && key !== undefined && header !== key) {
      this.violate("/idempotency_key", "header_mismatch", "the Idempotency-Key header says something else");
    }
    return key ?? header;
  }

  occurredAt(structured: boolean): string | undefined {
    const both = !structured && this.has(FIELD.timestamp) && this.has(FIELD.occurredAt);
    if (both) this.violate("/timestamp", "duplicate_member", "timestamp and occurred_at are the same thing: send one");
    const occurredAt = this.time(FIELD.occurredAt);
    return structured ? occurredAt : (occurredAt ?? this.time(FIELD.timestamp));
  }

  private time(field: number): string | undefined {
    const text = this.string(field);
    if (text === undefined || this.isPlainTime(field)) return text;
    const fault = timestampFault(text);
    if (fault === undefined) return text;
    this.violate(FIELD_POINTERS[field] as string, "invalid_format", fault);
    return undefined;
  }

  private isPlainTime(field: number): boolean {
    const at = (fields[field] as number) * 4;
    return isPlainTimestamp(this.bytes, (members.spans[at + 2] as number) + 1, (members.spans[at + 3] as number) - 1);
  }

  refuseReserved(): void {
    if (this.has(FIELD.tenantId) && this.tenantId() !== this.context.tenantId) {
      this.violate("/tenant_id", "reserved_member", "the tenant comes from the credential: leave tenant_id out");
    }
    if (this.has(FIELD.receivedAt)) this.violate("/received_at", "reserved_member", "PulseGate sets received_at");
    if (this.has(FIELD.source)) this.violate("/source", "reserved_member", "PulseGate sets source");
  }

  private tenantId(): unknown {
    const member = fields[FIELD.tenantId] as number;
    const from = members.spans[member * 4 + 2] as number;
    const to = members.spans[member * 4 + 3] as number;
    return to - from > STRING_BYTES_MAX ? undefined : JSON.parse(this.bytes.toString("utf8", from, to));
  }

  checkStructured(): void {
    const payload = members.spans[(fields[FIELD.payload] as number) * 4 + 2] as number;
    if (this.bytes[payload] !== OPEN_BRACE) this.violate("/payload", "wrong_type", "must be an object");
    for (let i = 0; i < members.count; i++) {
      const field = fieldOfMember[i] as number;
      if (field >= 0 && field !== FIELD.timestamp) continue;
      const hint = field === FIELD.timestamp ? ": use occurred_at" : ": put it into payload";
      this.violate(
        pointerTo(memberName(this.bytes, members, i)),
        "unknown_member",
        `is not known beside payload${hint}`,
      );
    }
  }

  /** What the scanner noted that is not a matter of syntax. */
  checkScan(start: number): void {
    for (const index of repeatedMembers(this.bytes, members)) {
      this.violate(pointerTo(memberName(this.bytes, members, index)), "duplicate_member", "appears more than once");
    }
    for (const { code, offset } of members.faults) {
      const detail =
        code === "too_deep" ? `nesting is limited to ${DEPTH_MAX} levels` : "the number is beyond a double";
      this.violate(pointerAt(this.bytes, start, offset), code, detail);
    }
  }

  payload(): Buffer {
    const at = (fields[FIELD.payload] as number) * 4;
    return this.bytes.subarray(members.spans[at + 2], members.spans[at + 3]);
  }
}

const QUOTE = 0x22;
/** The longest known string has 255 characters; each may be written as an escape of 6 bytes. */
const STRING_BYTES_MAX = 255 * 6 + 2;
