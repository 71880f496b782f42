import { isIPv4, isIPv6 } from "node:net";
import type { Span } from "./span.ts";

/** `Chrome/126.0.0.0` is a version. */
const V4 = /(?<![\p{L}\p{N}_.-]|\p{L}\/)\d{1,3}(?:\.\d{1,3}){3}(?![\p{L}\p{N}_]|\.\d|[-+]\p{L})/gu;
const V6_RUN = /[0-9A-Fa-f:.]{2,}/g;
const V6_LENGTH_MAX = 45;
const WORD = /[\p{L}\p{N}_]/u;

/** IPv6 addresses, then IPv4, the tails of `::ffff:192.0.2.1` included. A version number of four small parts looks the same and is taken for one. */
export function findIps(text: string): Span[] {
  const spans = text.includes(":") ? findV6(text) : [];
  for (const { 0: address, index } of text.matchAll(V4)) {
    const end = index + address.length;
    if (isIPv4(address)) spans.push({ start: index, end });
  }
  return spans;
}

function findV6(text: string): Span[] {
  const spans: Span[] = [];
  for (const { 0: run, index } of text.matchAll(V6_RUN)) {
    const address = run.length > V6_LENGTH_MAX ? "" : withoutStop(run);
    const end = index + address.length;
    if (isAddress(address) && !isWord(text[index - 1]) && !isWord(text[end])) spans.push({ start: index, end });
  }
  return spans;
}

/** The end of a sentence, or of a clause, is no part of the address. */
function withoutStop(run: string): string {
  return run.endsWith("::") ? run : run.replace(/[.:]$/, "");
}

/** `a::b` is an address to the letter, and a name in code in fact. */
function isAddress(run: string): boolean {
  return isIPv6(run) && run.replaceAll(":", "").length >= 3;
}

function isWord(character: string | undefined): boolean {
  return character !== undefined && WORD.test(character);
}
