import type { IncomingHttpHeaders } from "node:http";
import { IDEMPOTENCY_KEY_PATTERN } from "../../core/canonical/event.ts";

const BEARER = "bearer ";

/** The API key as sent: `X-API-Key`, or else `Authorization: Bearer`. */
export function credentialOf(headers: IncomingHttpHeaders): string | undefined {
  const key = headers["x-api-key"];
  if (typeof key === "string") return key;
  const authorization = headers.authorization;
  if (authorization === undefined || authorization.slice(0, BEARER.length).toLowerCase() !== BEARER) return undefined;
  return authorization.slice(BEARER.length).trim();
}

/** The media type in lower case, without parameters; undefined when the header says a charset that JSON can't have. */
export function mediaTypeOf(contentType: string): string | undefined {
  if (contentType === "application/json" || contentType === "application/x-ndjson") return contentType;
  const [type = "", ...parameters] = contentType.toLowerCase().split(";");
  for (const parameter of parameters) {
    const [name = "", value = ""] = parameter.split("=");
    if (name.trim() === "charset" && !UTF8_CHARSETS.has(value.trim().replaceAll('"', ""))) return undefined;
  }
  return type.trim();
}

const UTF8_CHARSETS = new Set(["utf-8", "utf8", "us-ascii"]);

/** RFC 8941 bare enough not to be confused with a list, a parameter or a quoted string. */
const BARE_KEY = /^[\x21\x23-\x2b\x2d-\x3a\x3c-\x5b\x5d-\x7e]{1,255}$/;
const QUOTED_KEY = /^"((?:[\x20\x21\x23-\x5b\x5d-\x7e]|\\["\\])*)"$/;

/** The key in an `Idempotency-Key` header: a structured-field string, or the bare form; undefined when it is neither. */
export function idempotencyKeyOf(header: string): string | undefined {
  if (BARE_KEY.test(header)) return header;
  const quoted = QUOTED_KEY.exec(header)?.[1]?.replace(/\\(["\\])/g, "$1");
  return quoted !== undefined && IDEMPOTENCY_KEY_PATTERN.test(quoted) ? quoted : undefined;
}

const TRACEPARENT_CHARS = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".length;
const TRACE_ID_AT = 3;
const PARENT_ID_AT = 36;
const FLAGS_AT = 53;

/** The trace id of a W3C `traceparent`; undefined when it is malformed, which is never an error. */
export function traceIdOf(traceparent: string): string | undefined {
  if (traceparent.length < TRACEPARENT_CHARS || !hasDashes(traceparent)) return undefined;
  // Version 00 ends here; a later one may go on behind a dash. ff is forbidden.
  const version = traceparent.slice(0, 2);
  const longer = traceparent.length > TRACEPARENT_CHARS;
  if (version === "ff" || (longer && (version === "00" || traceparent[TRACEPARENT_CHARS] !== "-"))) return undefined;
  const wellFormed =
    isLowerHex(traceparent, 0, 2) &&
    isLowerHex(traceparent, TRACE_ID_AT, 32) &&
    isLowerHex(traceparent, PARENT_ID_AT, 16) &&
    isLowerHex(traceparent, FLAGS_AT, 2);
  if (!wellFormed || traceparent.startsWith(ZERO_PARENT, PARENT_ID_AT)) return undefined;
  const traceId = traceparent.slice(TRACE_ID_AT, TRACE_ID_AT + 32);
  return traceId === ZERO_TRACE ? undefined : traceId;
}

const ZERO_TRACE = "0".repeat(32);
const ZERO_PARENT = "0".repeat(16);

function hasDashes(text: string): boolean {
  return text[TRACE_ID_AT - 1] === "-" && text[PARENT_ID_AT - 1] === "-" && text[FLAGS_AT - 1] === "-";
}

function isLowerHex(text: string, from: number, length: number): boolean {
  for (let i = from; i < from + length; i++) {
    const c = text.charCodeAt(i);
    if (!((c >= 0x30 && c <= 0x39) || (c >= 0x61 && c <= 0x66))) return false;
  }
  return true;
}
