import type { Span } from "./span.ts";

/** Length by country, from the IBAN registry. */
const LENGTHS = new Map(
  (
    "AD24 AE23 AL28 AT20 AZ28 BA20 BE16 BG22 BH22 BI27 BR29 BY28 CH21 CR22 CY28 CZ24 DE22 DJ27 DK18 DO28 EE20 EG29 " +
    "ES24 FI18 FK18 FO18 FR27 GB22 GE22 GI23 GL18 GR27 GT28 HN28 HR21 HU28 IE22 IL23 IQ23 IS26 IT27 JO30 KW30 KZ20 " +
    "LB28 LC32 LI21 LT20 LU20 LV21 LY25 MC27 MD24 ME22 MK19 MN20 MR27 MT31 MU30 NI28 NL18 NO15 OM23 PK24 PL28 PS29 " +
    "PT25 QA29 RO24 RS22 RU33 SA24 SC31 SD18 SE24 SI19 SK24 SM27 SO23 ST25 SV28 TL23 TN24 TR26 UA29 VA22 VG24 XK20 YE30"
  )
    .split(" ")
    .map((entry) => [entry.slice(0, 2), Number(entry.slice(2))]),
);

const START = /(?<![\p{L}\p{N}_])[A-Za-z]{2}\d{2}/gu;
const ALPHANUMERIC = /[A-Za-z0-9]/;

/** IBANs: a country of the registry, its length, and the checksum; with single spaces or without. */
export function findIbans(text: string): Span[] {
  const spans: Span[] = [];
  for (const match of text.matchAll(START)) {
    const length = LENGTHS.get(match[0].slice(0, 2).toUpperCase());
    const end = length === undefined ? undefined : endOf(text, match.index, length);
    if (end === undefined || !hasChecksum(text.slice(match.index, end).replaceAll(" ", ""))) continue;
    spans.push({ start: match.index, end });
  }
  return spans;
}

/** Where so many letters and digits end, if they stand there and no more follow. */
function endOf(text: string, start: number, length: number): number | undefined {
  let at = start;
  for (let taken = 0; taken < length; taken++) {
    if (text[at] === " " && taken > 0) at += 1;
    if (!ALPHANUMERIC.test(text[at] ?? "")) return undefined;
    at += 1;
  }
  return ALPHANUMERIC.test(text[at] ?? "") ? undefined : at;
}

/** ISO 7064 mod 97-10: the first four characters moved to the end, letters as two digits, leave 1. */
function hasChecksum(iban: string): boolean {
  let remainder = 0;
  for (const character of (iban.slice(4) + iban.slice(0, 4)).toUpperCase()) {
    const value = Number.parseInt(character, 36);
    remainder = (remainder * (value > 9 ? 100 : 10) + value) % 97;
  }
  return remainder === 1;
}
