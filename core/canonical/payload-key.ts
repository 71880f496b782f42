import { createHash } from "node:crypto";
import { payloadOf } from "./codec.ts";
import { memberName } from "./json-names.ts";
import { Members, scanObject, scanValue, skipSpace } from "./json-scan.ts";

/** The key of an event by its canonical bytes; undefined where the payload has none. */
export type KeyOf = (bytes: Buffer) => string | undefined;

/** RFC 6901, and not the whole payload. */
const POINTER = /^(?:\/(?:[^~/]|~0|~1)*)+$/;

export function isPayloadPointer(text: string): boolean {
  return POINTER.test(text);
}

/**
 * Finds the value at a JSON pointer into the payload (`/order/id`, `/items/0`) without parsing it. Texts,
 * numbers and booleans are keys: equal when they are equal texts, or numbers spelled alike; a number never
 * equals a text. `null`, objects and lists are none. Of members with one name the last counts, as in JSON.parse.
 */
export function payloadKey(pointer: string): KeyOf {
  const steps = pointer
    .slice(1)
    .split("/")
    .map((step) => step.replaceAll("~1", "/").replaceAll("~0", "~"));
  return (bytes) => {
    const payload = payloadOf(bytes);
    let at = skipSpace(payload, 0, payload.length);
    let end = payload.length;
    for (const step of steps) {
      const place = payload[at] === OPEN_BRACE ? memberAt(payload, at, end, step) : elementAt(payload, at, end, step);
      if (place === undefined) return undefined;
      [at, end] = place;
    }
    return keyText(payload, at, end);
  };
}

/** Where a value lies: from, to. */
type Place = readonly [number, number];

const OPEN_BRACE = 0x7b;
const OPEN_BRACKET = 0x5b;
const CLOSE_BRACKET = 0x5d;
const QUOTE = 0x22;
const LETTER_N = 0x6e;
const BACKSLASH = 0x5c;
const INDEX = /^(?:0|[1-9]\d{0,8})$/;

const members = new Members();

function memberAt(bytes: Buffer, from: number, end: number, name: string): Place | undefined {
  if (scanObject(bytes, from, end, members) < 0) return undefined;
  for (let i = members.count - 1; i >= 0; i--) {
    const { spans } = members;
    if (memberName(bytes, members, i) === name) return [spans[i * 4 + 2] as number, spans[i * 4 + 3] as number];
  }
  return undefined;
}

function elementAt(bytes: Buffer, from: number, end: number, step: string): Place | undefined {
  if (bytes[from] !== OPEN_BRACKET || !INDEX.test(step)) return undefined;
  let at = skipSpace(bytes, from + 1, end);
  if (bytes[at] === CLOSE_BRACKET) return undefined;
  for (let index = Number(step); ; index--) {
    const to = scanValue(bytes, at, end, []);
    if (to < 0) return undefined;
    if (index === 0) return [at, to];
    const next = skipSpace(bytes, to, end);
    if (next >= end || bytes[next] === CLOSE_BRACKET) return undefined;
    at = skipSpace(bytes, next + 1, end);
  }
}

/** A key is kept for as long as its event waits: a long one as its hash. */
const KEY_MAX = 64;

function keyText(bytes: Buffer, from: number, to: number): string | undefined {
  const first = bytes[from];
  if (first === OPEN_BRACE || first === OPEN_BRACKET || first === LETTER_N) return undefined;
  let text = bytes.toString("utf8", from, to);
  if (first === QUOTE && bytes.subarray(from, to).includes(BACKSLASH)) text = JSON.stringify(JSON.parse(text));
  return text.length <= KEY_MAX ? text : createHash("sha256").update(text).digest("base64");
}
