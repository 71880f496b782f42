import { isUtf8 } from "node:buffer";
import type { ErrorCode, Violation } from "./errors.ts";
import { skipSpace } from "./json-scan.ts";
import type { ParseContext, ParsedEvent } from "./parse.ts";
import { invalidJson, notUtf8, parseElement, parseEventAt } from "./parse.ts";

/** The events of a batch, each by itself right or wrong; or why the batch can't be told apart into events. */
export type ParsedBatch =
  | { readonly ok: true; readonly events: readonly ParsedEvent[] }
  | {
      readonly ok: false;
      readonly code: ErrorCode;
      readonly detail: string;
      readonly violations: readonly Violation[];
    };

export interface BatchContext extends ParseContext {
  readonly eventsMax: number;
}

const NEWLINE = 0x0a;
const COMMA = 0x2c;
const OPEN_BRACKET = 0x5b;
const CLOSE_BRACKET = 0x5d;

/** So much is parsed at one go: a millisecond or two, so that one tenant's large batch holds nobody up. */
const SLICE_BYTES = 256 * 1024;

/**
 * A parse that may be interrupted: it yields after each slice and returns the batch in the end.
 * Small batches come with the first step.
 */
export type BatchParse = Generator<void, ParsedBatch, void>;

/** One event per line; blank lines are skipped. A line that is not JSON is that event's fault alone. */
export function* parseLines(bytes: Buffer, context: BatchContext): BatchParse {
  const wholeIsUtf8 = isUtf8(bytes);
  const events: ParsedEvent[] = [];
  let from = 0;
  let sliceEnd = SLICE_BYTES;
  while (from < bytes.length) {
    if (from >= sliceEnd) {
      yield;
      sliceEnd = from + SLICE_BYTES;
    }
    const newline = bytes.indexOf(NEWLINE, from);
    const to = newline === -1 ? bytes.length : newline;
    if (skipSpace(bytes, from, to) < to) {
      if (events.length === context.eventsMax) return tooMany(context);
      events.push(wholeIsUtf8 ? parseEventAt(bytes, from, to, context) : parseLine(bytes.subarray(from, to), context));
    }
    from = to + 1;
  }
  return finished(events);
}

function parseLine(line: Buffer, context: ParseContext): ParsedEvent {
  if (isUtf8(line)) return parseEventAt(line, 0, line.length, context);
  return { ok: false, code: "malformed_json", violations: [notUtf8("")] };
}

/** A JSON array of events. What is not valid JSON leaves no way to tell where its events are: it fails as a whole. */
export function* parseArray(bytes: Buffer, context: BatchContext): BatchParse {
  if (!isUtf8(bytes)) return malformed(notUtf8(""));
  const end = bytes.length;
  let i = skipSpace(bytes, 0, end);
  if (i >= end || bytes[i] !== OPEN_BRACKET) {
    const detail = "a JSON array of events is required; send NDJSON as application/x-ndjson";
    return { ok: false, code: "malformed_request", detail, violations: [] };
  }
  const events: ParsedEvent[] = [];
  i = skipSpace(bytes, i + 1, end);
  const empty = i < end && bytes[i] === CLOSE_BRACKET;
  let sliceEnd = SLICE_BYTES;
  for (;;) {
    if (i >= sliceEnd) {
      yield;
      sliceEnd = i + SLICE_BYTES;
    }
    if (!empty) {
      if (events.length === context.eventsMax) return tooMany(context);
      const { event, behind } = parseElement(bytes, i, end, context);
      if (behind < 0) return syntaxError(bytes, ~behind);
      events.push(event as ParsedEvent);
      i = skipSpace(bytes, behind, end);
    }
    if (i < end && bytes[i] === CLOSE_BRACKET) break;
    if (i >= end || bytes[i] !== COMMA) return syntaxError(bytes, i);
    i = skipSpace(bytes, i + 1, end);
  }
  const rest = skipSpace(bytes, i + 1, end);
  return rest < end ? syntaxError(bytes, rest) : finished(events);
}

function syntaxError(bytes: Buffer, at: number): ParsedBatch {
  return malformed(invalidJson({ bytes, from: 0, to: bytes.length, at }));
}

function malformed(violation: Violation): ParsedBatch {
  return { ok: false, code: "malformed_json", detail: violation.detail, violations: [violation] };
}

function tooMany({ eventsMax }: BatchContext): ParsedBatch {
  return { ok: false, code: "batch_too_large", detail: `a batch may hold ${eventsMax} events`, violations: [] };
}

function finished(events: readonly ParsedEvent[]): ParsedBatch {
  if (events.length > 0) return { ok: true, events };
  return { ok: false, code: "malformed_request", detail: "the batch holds no event", violations: [] };
}
