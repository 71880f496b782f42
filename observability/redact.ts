/** Names under which secrets travel; `key_id` and the like are fine. */
const SECRET_NAME =
  /^(.*[_-])?(password|passwd|secret|token|authorization|cookie|api[_-]?key|private[_-]?key|key|dsn)$/i;
/** What a log line must never hold: what clients sent. */
const PAYLOAD_NAME = /^(payload|body|raw_?body|event|events|row|rows|bytes)$/i;
const REDACTED = "[redacted]";
const DEPTH_MAX = 6;
const LIST_MAX = 50;

/** `tenantId` and `tenant_id` are one thing, and the lines have one name for it. */
const SNAKE_NAMES: Readonly<Record<string, string>> = {
  tenantId: "tenant_id",
  traceId: "trace_id",
  eventId: "event_id",
  err: "error",
};

/** Fields fit to be written: secrets and payloads out by name, errors as data, names in one form. */
export function redactFields(fields: Readonly<Record<string, unknown>>): Record<string, unknown> {
  return redactObject(fields, 0);
}

function redactObject(fields: object, depth: number): Record<string, unknown> {
  const entries = Object.entries(fields).map(([name, value]): [string, unknown] => {
    const written = SNAKE_NAMES[name] ?? name;
    if (SECRET_NAME.test(snake(name)) && value !== undefined) return [written, REDACTED];
    if (PAYLOAD_NAME.test(name) && typeof value !== "number") return [written, "[omitted]"];
    return [written, redactValue(value, depth + 1)];
  });
  return Object.fromEntries(entries);
}

function snake(name: string): string {
  return name.replace(/([a-z0-9])([A-Z])/g, "$1_$2");
}

function redactValue(value: unknown, depth: number): unknown {
  if (value === null || typeof value !== "object") return typeof value === "bigint" ? String(value) : value;
  if (value instanceof Error) return errorFields(value, depth);
  if (ArrayBuffer.isView(value)) return `[${value.byteLength} bytes]`;
  if (depth > DEPTH_MAX) return "[…]";
  if (Array.isArray(value)) return value.slice(0, LIST_MAX).map((item) => redactValue(item, depth + 1));
  if (typeof (value as { toJSON?: unknown }).toJSON === "function") return value;
  return redactObject(value, depth);
}

/** Only what is known to be about the error: database drivers hang whole rows on theirs. */
function errorFields(error: Error, depth: number): Record<string, unknown> {
  const { code } = error as { code?: unknown };
  return {
    type: error.name,
    message: error.message,
    ...(typeof code === "string" || typeof code === "number" ? { code } : {}),
    stack: error.stack,
    ...(error.cause !== undefined && depth < DEPTH_MAX ? { cause: redactValue(error.cause, depth + 1) } : {}),
  };
}

const URL_PASSWORD = /(\b[a-z][a-z0-9+.-]*:\/\/[^\s:/?#@"\\]*:)[^\s/?#@"\\]+(@)/gi;
const API_KEY = /\bpgk_([A-Za-z0-9-]+)_[A-Za-z0-9_-]{43}/g;
const BEARER = /\b(bearer|basic)\s+[A-Za-z0-9._~+/=-]{8,}/gi;

/** The last net, over the finished line: known secrets and what looks like one. */
export function redactedText(line: string, secrets: Iterable<string>): string {
  let text = line;
  for (const secret of secrets) {
    // As it stands in JSON, where quotes and backslashes are escaped.
    text = text.replaceAll(JSON.stringify(secret).slice(1, -1), REDACTED);
  }
  if (text.includes("://")) text = text.replace(URL_PASSWORD, `$1${REDACTED}$2`);
  if (text.includes("pgk_")) text = text.replace(API_KEY, `pgk_$1_${REDACTED}`);
  return text.replace(BEARER, `$1 ${REDACTED}`);
}
