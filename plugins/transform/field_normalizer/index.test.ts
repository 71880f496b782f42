import fc from "fast-check";
import { expect, test } from "vitest";
import { transformConformance } from "../../../tests/conformance/transform.ts";
import { numberText } from "../../contract.ts";
import { converted, jsonNumber, scaled } from "./decimal.ts";
import plugin from "./index.ts";
import { compile } from "./rules.ts";
import { rfc3339 } from "./timestamp.ts";

transformConformance({
  definition: plugin,
  golden: new URL("./golden/", import.meta.url),
  configs: [
    {
      rules: [
        { field: "**.*", action: "rename", style: "snake" },
        { field: "**.*", action: "rename", style: "camel" },
      ],
    },
    {
      rules: [
        { field: "__proto__", action: "rename", to: "constructor" },
        { field: "email", action: "rename", to: "__proto__" },
      ],
    },
    {
      rules: [
        { field: "user", action: "move", to: "items[0].user" },
        { field: "items", action: "move", to: "__proto__.x" },
      ],
    },
    ...["string", "number", "integer", "boolean"].map((to) => ({ rules: [{ field: "**.*", action: "cast", to }] })),
    {
      rules: [
        { field: "**.*", action: "timestamp" },
        { field: "**[*]", action: "timestamp", from: "ns", on_error: "remove" },
      ],
    },
    { rules: [{ field: "**.*", action: "unit", from: "ms", to: "d", on_error: "fail" }] },
    {
      rules: [
        { field: "**.*", action: "scale", by: "-1e-300" },
        { field: "**.*", action: "scale", by: "1e300" },
      ],
    },
    {
      rules: [
        { field: "*.email", action: "default", value: 1 },
        { field: "items[*].a.b", action: "default", value: {} },
      ],
    },
    {
      rules: [
        { field: "**.email", action: "remove" },
        { field: "items[0]", action: "remove" },
        { field: "*", action: "trim" },
      ],
    },
  ],
});

const watcher = { ownSpellings: false, unfit() {}, conflict() {} };

function normalized(payload: Record<string, unknown>, ...rules: readonly object[]): Record<string, unknown> {
  const steps = compile(plugin.config.parse({ rules }).rules);
  return steps.reduce((before, step) => step(before, watcher), payload);
}

test("multiplies any two decimals exactly", () => {
  const decimal = fc.tuple(fc.bigInt({ min: -(10n ** 25n), max: 10n ** 25n }), fc.nat({ max: 20 }));
  const text = ([digits, places]: [bigint, number]) => `${digits}e-${places}`;
  fc.assert(
    fc.property(decimal, decimal, (a, b) => {
      const product = scaled(text(a), text(b)) as string;
      const [whole = "", fraction = ""] = product.split(".");
      const places = a[1] + b[1];
      expect(BigInt(whole + fraction.padEnd(places, "0"))).toBe(a[0] * b[0]);
      expect(fraction).not.toMatch(/0$/);
    }),
  );
});

test("converts to a smaller unit and back without a difference", () => {
  const pairs = [
    ["ms", "ns"],
    ["d", "s"],
    ["GiB", "B"],
    ["km", "mm"],
    ["t", "mg"],
  ] as const;
  fc.assert(
    fc.property(
      fc.bigInt({ min: -(10n ** 20n), max: 10n ** 20n }),
      fc.constantFrom(...pairs),
      (amount, [large, small]) => {
        expect(converted(converted(String(amount), large, small) as string, small, large)).toBe(String(amount));
      },
    ),
  );
});

test.each([
  ["1", "s", "min", "0.016666666666667"],
  ["2.5", "min", "s", "150"],
  ["-1", "ms", "s", "-0.001"],
  ["0", "s", "d", "0"],
  ["1", "s", "B", undefined],
  ["x", "s", "ms", undefined],
])("%s %s is %s: %s", (amount, from, to, expected) => expect(converted(amount, from, to)).toBe(expected));

test.each([
  ["1740830400", "2025-03-01T12:00:00Z"],
  ["1740830400.5", "2025-03-01T12:00:00.5Z"],
  ["-1", "1969-12-31T23:59:59Z"],
  ["-0.25", "1969-12-31T23:59:59.75Z"],
  ["1740830400123456", "2025-03-01T12:00:00.123456Z"],
  ["1740830400123456789", "2025-03-01T12:00:00.123456789Z"],
  ["2025-03-01", "2025-03-01T00:00:00Z"],
  ["2025-03-01T12:00", "2025-03-01T12:00:00Z"],
  ["2025-03-01 12:00:00,250", "2025-03-01T12:00:00.25Z"],
  ["2025-03-01T12:00:00+0530", "2025-03-01T06:30:00Z"],
  ["2024-02-29T23:59:60Z", "2024-03-01T00:00:00Z"],
  ["0000-01-01T00:00:00Z", "0000-01-01T00:00:00Z"],
  ["9999-12-31T23:59:59.999999999Z", "9999-12-31T23:59:59.999999999Z"],
  ["1 Mar 2025 12:00:00 -0500", "2025-03-01T17:00:00Z"],
  ["2025-02-29T00:00:00Z", undefined],
  ["2025-13-01", undefined],
  ["2025-03-01T24:00:00Z", undefined],
  ["0000-01-01T00:00:00+01:00", undefined],
  ["99999999999999999999", "5138-11-16T09:46:39.999999999Z"],
  ["999999999999999999999", undefined],
  ["32 Xyz 2025 12:00:00 GMT", undefined],
  ["01/03/2025", undefined],
  ["now", undefined],
])("the time %s is %s", (text, expected) => expect(rfc3339(text, { count: "auto", offset: "Z" })).toBe(expected));

test("writes any instant so that it reads the same again", () => {
  const nanos = fc.bigInt({ min: -62_167_219_200_000_000_000n, max: 253_402_300_799_999_999_999n });
  fc.assert(
    fc.property(nanos, (instant) => {
      const text = rfc3339(String(instant), { count: "ns", offset: "Z" }) as string;
      expect(rfc3339(text, { count: "auto", offset: "+05:00" })).toBe(text);
      expect(Date.parse(text.replace(/(\.\d{3})\d+/, "$1"))).toBe(
        Number((instant - (((instant % 1_000_000n) + 1_000_000n) % 1_000_000n)) / 1_000_000n),
      );
    }),
  );
});

test("reads a text as the number that it says, with every digit", () => {
  fc.assert(
    fc.property(
      fc.bigInt({ min: -(10n ** 40n), max: 10n ** 40n }),
      fc.stringMatching(/^\d{0,30}$/),
      (whole, fraction) => {
        const { n } = normalized({ n: ` ${whole}.${fraction} ` }, { field: "n", action: "cast", to: "number" });
        const written = numberText(n) as string;
        expect(scaled(written, "1")).toBe(scaled(`${whole}.${fraction}`, "1"));
      },
    ),
  );
  expect(jsonNumber("0x10")).toBeUndefined();
  expect(normalized({ n: "1e999" }, { field: "n", action: "cast", to: "number" })).toEqual({ n: "1e999" });
});

test("gives each event a default of its own", () => {
  const rule = { field: "tags", action: "default", value: { list: [] } };
  const [step] = compile(plugin.config.parse({ rules: [rule] }).rules);
  const first = step?.({}, watcher) as { tags: { list: unknown[] } };
  first.tags.list.push("poison");
  expect(step?.({}, watcher)).toEqual({ tags: { list: [] } });
});

test.each([
  ["userId", "user_id"],
  ["HTTPStatusCode", "http_status_code"],
  ["user-id no", "user_id_no"],
  ["user_id", "user_id"],
  ["ItemNo2Price", "item_no2_price"],
  ["đơnHàng", "đơn_hàng"],
])("%s in snake case is %s", (name, expected) =>
  expect(normalized({ [name]: 1 }, { field: "*", action: "rename", style: "snake" })).toEqual({ [expected]: 1 }),
);

test.each([
  [{ field: "a", action: "rename" }, ["action"], 'needs "to" or "style"'],
  [{ field: "a", action: "rename", to: "b", style: "snake" }, ["action"], 'needs "to" or "style"'],
  [{ field: "a*", action: "rename", to: "b" }, ["to"], 'use "style"'],
  [{ field: "a[*]", action: "rename", style: "snake" }, ["field"], "no name"],
  [{ field: "a.*", action: "move", to: "b" }, ["field"], "not a place"],
  [{ field: "a", action: "move", to: "b[*]" }, ["to"], "not a place"],
  [{ field: "a", action: "cast", to: "date" }, ["to"], "one of string, number"],
  [{ field: "a", action: "cast" }, ["action"], 'needs "to"'],
  [{ field: "a", action: "case", to: "title" }, ["to"], "one of lower, upper"],
  [{ field: "a", action: "unit", to: "parsec" }, ["to"], "one of ns"],
  [{ field: "a", action: "unit", to: "s", from: "x" }, ["from"], "one of ns"],
  [{ field: "a", action: "timestamp", from: "weeks" }, ["from"], "one of auto"],
  [{ field: "a", action: "timestamp", offset: "+7" }, ["offset"], "offset such as"],
  [{ field: "a", action: "scale" }, ["action"], 'needs "by"'],
  [{ field: "a", action: "scale", by: "a tenth" }, ["by"], "a decimal"],
  [{ field: "**.a", action: "default", value: 1 }, ["field"], "every object"],
  [{ field: "a[*]", action: "default", value: 1 }, ["field"], "end with a member"],
  [{ field: "a", action: "default" }, ["action"], 'needs "value"'],
  [{ field: "a", action: "trim", to: "x" }, ["to"], "says nothing to the action trim"],
])("refuses %j, at the option that is wrong", (rule, path, words) => {
  const issue = plugin.config.safeParse({ rules: [rule] }).error?.issues[0];
  expect(issue?.path).toEqual(["rules", 0, ...path]);
  expect(issue?.message).toContain(words);
});
