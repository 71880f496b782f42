import { IDEMPOTENCY_KEY_PATTERN } from "../../core/canonical/event.ts";
import type { RequestHeaders } from "./wire.ts";

const BEARER = "bearer ";

/** The API key as sent: `X-API-Key`, or else `Authorization: Bearer`. */
export function credentialOf(headers: RequestHeaders): string | undefined {
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
