import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { bytes, bytesOf, duration, durationMs, durationRange } from "./units.ts";

describe("durations", () => {
  test.each([
    ["500ms", 500],
    ["1.5s", 1_500],
    ["2m", 120_000],
    ["1h", 3_600_000],
    ["7d", 604_800_000],
  ])("reads %s as %i ms", (text, ms) => {
    expect(durationMs(text)).toBe(ms);
  });

  test.each(["5", "5 s", "s", "-1s", "1e3s", "5sec", "", "١s"])(
    "refuses %j: a time needs a number and a unit",
    (text) => {
      const result = duration({ min: "0ms", max: "1000d" }).safeParse(text);
      expect(result.error?.issues[0]?.message).toMatch(/^expected a time with its unit/);
    },
  );

  test("keeps to its bounds, both included", () => {
    const schema = duration({ min: "10ms", max: "1s" });
    expect([schema.parse("10ms"), schema.parse("1s")]).toEqual([10, 1_000]);
    expect(schema.safeParse("1001ms").error?.issues[0]?.message).toBe("must be between 10ms and 1s");
    expect(schema.safeParse("9ms").success).toBe(false);
  });
});

describe("sizes", () => {
  test.each([
    ["10MiB", 10 * 2 ** 20],
    ["1.5KiB", 1_536],
    ["1GB", 1e9],
    ["4096", 4_096],
    ["4096B", 4_096],
  ])("reads %s as %i bytes", (text, size) => {
    expect(bytesOf(text)).toBe(size);
  });

  test("reads a plain number as bytes", () => {
    expect(bytes({ min: "1B", max: "1MiB" }).parse(2_048)).toBe(2_048);
  });

  test.each(["10 MiB", "10Mib", "MiB", "-1", "0x10"])("refuses %j", (text) => {
    expect(bytes({ min: "0B", max: "1GiB" }).safeParse(text).error?.issues[0]?.message).toMatch(/^expected a size/);
  });

  test("whole numbers of every unit are exact", () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 4_096 }), (n) => {
        expect(bytesOf(`${n}MiB`)).toBe(n * 2 ** 20);
        expect(bytesOf(`${n}GB`)).toBe(n * 1e9);
      }),
    );
  });
});

describe("ranges of durations", () => {
  const schema = durationRange({ min: "1ms", max: "1h" });

  test("reads both ends", () => {
    expect(schema.parse("200ms..1m")).toEqual({ minMs: 200, maxMs: 60_000 });
  });

  test.each([
    ["1m..200ms", /must not be longer/],
    ["0ms..1s", /between 1ms and 1h/],
    ["1s...2s", /expected a range/],
    ["1s", /expected a range/],
  ])("refuses %s", (text, words) => {
    expect(schema.safeParse(text).error?.issues[0]?.message).toMatch(words);
  });
});
