import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { isPlainTimestamp, timestampFault } from "./timestamp.ts";

const TAKEN = [
  "2025-03-01T12:00:00Z",
  "2025-03-01t12:00:00z",
  "2025-03-01T12:00:00.1Z",
  "2025-03-01T12:00:00.123456789012Z",
  "2025-03-01T12:00:00+00:00",
  "2025-03-01T12:00:00-00:00",
  "2025-03-01T12:00:00+14:00",
  "2025-03-01T12:00:00-23:59",
  "2024-02-29T00:00:00Z",
  "2000-02-29T00:00:00Z",
  "0001-01-01T00:00:00Z",
  "9999-12-31T23:59:59.999Z",
  "2016-12-31T23:59:60Z",
  "2015-06-30T23:59:60.5Z",
  "2017-01-01T05:29:60+05:30",
  "1990-12-31T15:59:60-08:00",
];

const REFUSED = [
  "",
  "now",
  "1740830400",
  "2025-03-01",
  "2025-03-01T12:00Z",
  "2025-03-01T12:00:00",
  "2025-03-01 12:00:00Z",
  "2025-03-01T12:00:00.Z",
  "2025-03-01T12:00:00,5Z",
  "2025-03-01T12:00:00+0100",
  "2025-03-01T12:00:00+1:00",
  "2025-03-01T12:00:00+24:00",
  "2025-03-01T12:00:00+01:60",
  "2025-03-01T12:00:00ZZ",
  "2025-03-01T12:00:00Z ",
  " 2025-03-01T12:00:00Z",
  "2025-3-01T12:00:00Z",
  "2025-00-01T12:00:00Z",
  "2025-13-01T12:00:00Z",
  "2025-03-00T12:00:00Z",
  "2025-03-32T12:00:00Z",
  "2025-02-29T12:00:00Z",
  "1900-02-29T12:00:00Z",
  "2025-04-31T12:00:00Z",
  "2025-03-01T24:00:00Z",
  "2025-03-01T12:60:00Z",
  "2025-03-01T12:00:61Z",
  "2025-03-01T12:00:60Z",
  "2016-12-31T23:59:60+01:00",
  "2016-11-30T23:59:60Z",
  "0000-01-01T00:00:00Z",
  "0001-01-01T00:00:00+00:01",
  "9999-12-31T23:59:59-00:01",
  "+2025-03-01T12:00:00Z",
  "12025-03-01T12:00:00Z",
  "٢٠٢٥-03-01T12:00:00Z",
  `2025-03-01T12:00:00.${"1".repeat(64)}Z`,
];

describe("timestampFault", () => {
  it.each(TAKEN)("takes %s", (text) => expect(timestampFault(text)).toBeUndefined());
  it.each(REFUSED)("refuses %s", (text) => expect(timestampFault(text)).toBeTypeOf("string"));

  it("takes every instant that JavaScript writes for the years 0001–9999", () => {
    const min = new Date("0001-01-01T00:00:00Z");
    const max = new Date("9999-12-31T23:59:59.999Z");
    fc.assert(
      fc.property(fc.date({ min, max, noInvalidDate: true }), (date) => {
        expect(timestampFault(date.toISOString())).toBeUndefined();
      }),
    );
  });

  it("takes a date exactly when the calendar has it", () => {
    const part = (max: number) => fc.integer({ min: 0, max });
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 9999 }), part(14), part(33), (year, month, day) => {
        const two = (n: number) => String(n).padStart(2, "0");
        const text = `${String(year).padStart(4, "0")}-${two(month)}-${two(day)}T00:00:00Z`;
        const date = new Date(0);
        date.setUTCFullYear(year, month - 1, day);
        const exists = date.getUTCFullYear() === year && date.getUTCMonth() === month - 1 && date.getUTCDate() === day;
        expect(timestampFault(text) === undefined).toBe(exists);
      }),
    );
  });
});

describe("isPlainTimestamp", () => {
  const isPlain = (text: string): boolean => {
    const bytes = Buffer.from(`"${text}"`, "latin1");
    return isPlainTimestamp(bytes, 1, bytes.length - 1);
  };

  it.each(REFUSED)("does not take %s", (text) => expect(isPlain(text)).toBe(false));

  it("takes nothing that has a fault, however like a timestamp it is", () => {
    const twist = fc.record({ at: fc.nat(40), with: fc.constantFrom(...Array.from("0123456789-:.TZtz+/ "), "") });
    fc.assert(
      fc.property(fc.constantFrom(...TAKEN, ...REFUSED), fc.array(twist, { maxLength: 3 }), (start, twists) => {
        let text = start;
        for (const { at, with: piece } of twists) text = text.slice(0, at) + piece + text.slice(at + 1);
        if (isPlain(text)) expect(timestampFault(text)).toBeUndefined();
      }),
      { numRuns: 2000 },
    );
  });

  it.each(["2025-03-01T12:00:00Z", "2025-03-28T23:59:59.999Z"])("takes %s", (text) => expect(isPlain(text)).toBe(true));
});
