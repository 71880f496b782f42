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
