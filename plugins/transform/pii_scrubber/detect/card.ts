import type { Span } from "./span.ts";

const RUN = /(?<![\p{L}\p{N}_]|\d\.)\d(?:[ -]?\d){12,}(?![\p{L}_]|\.\d)/gu;
const GROUP = /\d+/g;
const GROUP_DIGITS_MIN = 3;
const DIGITS_MIN = 13;
const DIGITS_MAX = 19;

/** Issuers by the first digits, with the lengths that they give out. */
const ISSUERS: ReadonlyArray<readonly [RegExp, readonly number[]]> = [
  [/^4/, [13, 16, 19]],
  [/^(?:5[1-5]|222[1-9]|22[3-9]|2[3-6]|27[01]|2720)/, [16]],
  [/^3[47]/, [15]],
  [/^(?:6011|64[4-9]|65|62|352[89]|35[3-8])/, [16, 17, 18, 19]],
  [/^9704/, [16, 19]],
  [/^(?:30[0-5]|36|38|39)/, [14, 16, 19]],
  [/^(?:5018|5020|5038|5893|6304|6759|676[1-3])/, [13, 14, 15, 16, 17, 18, 19]],
];

/** Card numbers: an issuer's first digits and length, and Luhn's check digit; in one run or in printed groups. */
export function findCards(text: string): Span[] {
  const spans: Span[] = [];
  for (const run of text.matchAll(RUN)) {
    const groups = [...run[0].matchAll(GROUP)].map(({ 0: digits, index }) => ({ digits, start: run.index + index }));
    for (let i = 0; i < groups.length; i++) {
      const count = cardAt(groups, i);
      if (count === 0) continue;
      const last = groups[i + count - 1] as Group;
      spans.push({ start: (groups[i] as Group).start, end: last.start + last.digits.length });
      i += count - 1;
    }
  }
  return spans;
}

interface Group {
  readonly digits: string;
  readonly start: number;
}

/** How many groups from this one on make a card number, at most; 0 for none. */
function cardAt(groups: readonly Group[], from: number): number {
  let digits = "";
  let found = 0;
  for (let i = from; i < groups.length; i++) {
    const group = (groups[i] as Group).digits;
    digits += group;
    if (digits.length > DIGITS_MAX || (group.length < GROUP_DIGITS_MIN && digits !== group)) break;
    if (isCard(digits)) found = i - from + 1;
  }
  return found;
}

function isCard(digits: string): boolean {
  if (digits.length < DIGITS_MIN) return false;
  return ISSUERS.some(([first, lengths]) => lengths.includes(digits.length) && first.test(digits)) && luhn(digits);
}

function luhn(digits: string): boolean {
  let sum = 0;
  for (let i = 0; i < digits.length; i++) {
    const digit = digits.charCodeAt(digits.length - 1 - i) - 48;
    const doubled = i % 2 === 1 ? digit * 2 : digit;
    sum += doubled > 9 ? doubled - 9 : doubled;
  }
  return sum % 10 === 0;
}
