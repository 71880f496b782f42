import type { Scalar } from "yaml";

/**
 * Where a character of a scalar's value stands in the file's text: quotes, escapes, indentation and
 * folded lines lie between the two. Undefined when the value is not what the text says, as after a
 * substitution.
 */
export function offsetInScalar(text: string, scalar: Scalar, offset: number): number | undefined {
  const [start, end] = scalar.range ?? [0, 0];
  const value = String(scalar.value);
  let at = bodyStart(text, scalar, start);
  for (let i = 0; i <= offset; i++) {
    const found = find(text, value[i], { from: at, end, style: scalar.type });
    // The end of the value: right behind its last character.
    if (found === undefined) return i === value.length ? at : undefined;
    if (i === offset) return found.at;
    at = found.next;
  }
  return undefined;
}

function bodyStart(text: string, { type }: Scalar, start: number): number {
  if (type === "BLOCK_LITERAL" || type === "BLOCK_FOLDED") return text.indexOf("\n", start) + 1;
  return type === "QUOTE_DOUBLE" || type === "QUOTE_SINGLE" ? start + 1 : start;
}

interface Found {
  readonly at: number;
  /** Behind it. */
  readonly next: number;
}

/** The next place of a character, behind indentation; the end of a folded line is a space. */
function find(
  text: string,
  wanted: string | undefined,
  { from, end, style }: { readonly from: number; readonly end: number; readonly style: Scalar["type"] },
): Found | undefined {
  if (wanted === undefined) return undefined;
  for (let at = from; at < end; at++) {
    const found = text[at] as string;
    const length = escapeLength(text, at, style);
    if (length > 0) return { at: at + length - 1, next: at + length };
    // A line that goes on: its end stands for nothing.
    if (style === "QUOTE_DOUBLE" && found === "\\") at = text.indexOf("\n", at);
    else if (found === wanted || (wanted === " " && found === "\n")) return { at, next: at + 1 };
    else if (!" \t\r\n".includes(found)) return undefined;
  }
  return undefined;
}

const ESCAPE_LENGTHS: Readonly<Record<string, number>> = { x: 4, u: 6, U: 10 };

/** How many characters of the text stand for one of the value; 0 where none is escaped. */
function escapeLength(text: string, at: number, style: Scalar["type"]): number {
  if (style === "QUOTE_SINGLE") return text.startsWith("''", at) ? 2 : 0;
  if (style !== "QUOTE_DOUBLE" || text[at] !== "\\" || /[\r\n]/.test(text[at + 1] ?? "\n")) return 0;
  return ESCAPE_LENGTHS[text[at + 1] as string] ?? 2;
}
