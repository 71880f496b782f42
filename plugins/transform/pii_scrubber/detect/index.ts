import { findCards } from "./card.ts";
import { findEmails } from "./email.ts";
import { findIbans } from "./iban.ts";
import { findIps } from "./ip.ts";
import { findPhones } from "./phone.ts";
import type { Span } from "./span.ts";

export const KINDS = ["email", "phone", "ip", "card", "iban"] as const;
export type Kind = (typeof KINDS)[number];

export interface Match extends Span {
  readonly kind: Kind;
}

/** What proves itself by a checksum goes first, the vaguest last: a card's digits are no phone number. */
const ORDER: readonly Kind[] = ["iban", "card", "email", "ip", "phone"];

const NEEDS_DIGIT: readonly Kind[] = ["iban", "card", "phone"];
const DIGIT = /\d/;

/** All that looks like one of the kinds, in the order of the text, without overlaps. Takes time linear in the text. */
export function find(text: string, kinds: readonly Kind[], phoneRegion?: string): Match[] {
  const found: Match[] = [];
  let taken: Uint8Array | undefined;
  // Most texts of an event are words: they need no search for numbers.
  const hasDigit = DIGIT.test(text);
  for (const kind of ORDER) {
    if (!kinds.includes(kind) || (!hasDigit && NEEDS_DIGIT.includes(kind))) continue;
    for (const { start, end } of spansOf(kind, text, phoneRegion)) {
      taken ??= new Uint8Array(text.length);
      if (taken.subarray(start, end).includes(1)) continue;
      taken.fill(1, start, end);
      found.push({ kind, start, end });
    }
  }
  return found.sort((a, b) => a.start - b.start);
}

function spansOf(kind: Kind, text: string, phoneRegion: string | undefined): readonly Span[] {
  switch (kind) {
    case "email":
      return findEmails(text);
    case "phone":
      return findPhones(text, phoneRegion);
    case "ip":
      return findIps(text);
    case "card":
      return findCards(text);
    case "iban":
      return findIbans(text);
  }
}
