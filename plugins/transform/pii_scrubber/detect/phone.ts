import { isIPv4 } from "node:net";
import { type CountryCode, parsePhoneNumberFromString } from "libphonenumber-js/max";
import type { Span } from "./span.ts";

const CANDIDATE = /(?<![\p{L}\p{N}_.,/+-])(?:\+ ?|\(\+?)?\d(?:[ \u00a0().\-/]{0,3}\d){6,14}(?![\p{L}\p{N}_]|[.,-]\d)/gu;
const DATE = /^\d{4}[-/.]\d{1,2}[-/.]\d{1,2}/;
/** Each costs tens of microseconds; an event with more of them is refused rather than passed on unsearched. */
const CANDIDATES_MAX = 2_000;

/** Phone numbers that are valid in their country's plan: with a `+`, or national ones of the region. */
export function findPhones(text: string, region: string | undefined): Span[] {
  const spans: Span[] = [];
  let left = CANDIDATES_MAX;
  for (const { 0: candidate, index } of text.matchAll(CANDIDATE)) {
    if (left-- === 0) throw new RangeError("a text has too many numbers to be searched for phone numbers");
    if (!candidate.includes("+") && region === undefined) continue;
    if (DATE.test(candidate) || isIPv4(candidate)) continue;
    const number = parsePhoneNumberFromString(candidate, region as CountryCode | undefined);
    if (number?.isValid() === true) spans.push({ start: index, end: index + candidate.length });
  }
  return spans;
}
