import type { Span } from "./span.ts";

const LOCAL_MAX = 64;
const LOCAL_CHARACTER = /[\p{L}\p{N}._%+'-]/u;
const AT = /@|%40/g;
const DOMAIN =
  /(?:[\p{L}\p{N}](?:[\p{L}\p{N}-]{0,61}[\p{L}\p{N}])?\.){1,10}(?:xn--[a-z0-9-]{1,59}|\p{L}{2,63})(?![\p{L}\p{N}_])/uy;
/** `icon@2x.png` is a file. */
const FILE = /\.(?:png|jpe?g|gif|svg|webp|avif|css|m?js|map)$/i;

/** E-mail addresses, also with their `@` as `%40`, as in URLs. */
export function findEmails(text: string): Span[] {
  const spans: Span[] = [];
  let from = 0;
  for (const at of text.matchAll(AT)) {
    const start = localStart(text, at.index, from);
    if (start === at.index) continue;
    DOMAIN.lastIndex = at.index + at[0].length;
    const domain = DOMAIN.exec(text);
    if (domain === null || FILE.test(domain[0])) continue;
    from = DOMAIN.lastIndex;
    spans.push({ start, end: from });
  }
  return spans;
}

/** Where the part before the `@` begins: not before `from`, not with a mark that only joins. */
function localStart(text: string, at: number, from: number): number {
  let start = at;
  const floor = Math.max(from, at - LOCAL_MAX);
  while (start > floor && LOCAL_CHARACTER.test(text[start - 1] as string)) start -= 1;
  while (start < at && /[.'%+-]/.test(text[start] as string)) start += 1;
  return text[at - 1] === "." ? at : start;
}
