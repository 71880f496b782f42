import { expect, test } from "vitest";
import { transformConformance } from "../../../tests/conformance/transform.ts";
import type { TransformPlugin } from "../../contract.ts";
import plugin from "./index.ts";
import { parsePath, takes } from "./paths.ts";
import { DEPTH_MAX, scrub } from "./scrub.ts";

transformConformance({
  definition: plugin,
  golden: new URL("./golden/", import.meta.url),
  configs: [
    {},
    {
      rules: [
        { path: "**.email", action: "drop" },
        { path: "*" },
        { path: "__proto__" },
        { path: '[""]', action: "drop" },
      ],
    },
    { rules: [{ path: "**.*", action: "mask", mask_with: "" }] },
    { rules: [{ path: "**.[*].**.0" }, { path: "items[*].*", action: "drop" }, { path: "**[0]" }] },
    { rules: [] },
  ],
});

const mask = (path: string) => ({ steps: parsePath(path), action: { type: "mask", with: "***" } as const });
const drop = (path: string) => ({ steps: parsePath(path), action: { type: "drop" } as const });

test("masks a value of any type", () => {
  const payload = { a: 1, b: null, c: { d: 1 }, e: [1], f: false, g: "" };
  expect(scrub(payload, [mask("*")])).toEqual({ a: "***", b: "***", c: "***", e: "***", f: "***", g: "***" });
});

test("takes a number that a double can't hold for a value, whatever it is made of", () => {
  const { rawJSON } = JSON as unknown as { rawJSON(text: string): unknown };
  const payload = { big: rawJSON("12345678901234567890") };
  expect(scrub(payload, [mask("big.*"), drop("**.rawJSON")])).toBe(payload);
  expect(scrub(payload, [mask("big")])).toEqual({ big: "***" });
});

test("drops where one rule drops and another masks, in either order", () => {
  expect(scrub({ a: 1, b: 2 }, [mask("a"), drop("a")])).toEqual({ b: 2 });
  expect(scrub({ a: 1, b: 2 }, [drop("a"), mask("a")])).toEqual({ b: 2 });
});

test("shares what no rule touches and returns the same payload when none does", () => {
  const payload = { a: { b: 1 }, c: { email: "x" } };
  expect(scrub(payload, [mask("nothing.here")])).toBe(payload);
  const scrubbed = scrub(payload, [mask("c.email")]);
  expect(scrubbed["a"]).toBe(payload.a);
  expect(payload.c.email).toBe("x");
});

test("finds names that JavaScript gives a meaning of its own, and only as members", () => {
  const payload = JSON.parse('{"__proto__":{"email":"x"},"constructor":"y","list":[1]}') as Record<string, unknown>;
  const scrubbed = scrub(payload, [
    mask("__proto__.email"),
    mask("constructor"),
    mask("list.length"),
    mask("toString"),
  ]);
  expect(JSON.stringify(scrubbed)).toBe('{"__proto__":{"email":"***"},"constructor":"***","list":[1]}');
  expect(({} as Record<string, unknown>)["email"]).toBeUndefined();
});

test("refuses a payload that is too deep to be searched, rather than passing it on", async () => {
  let payload: Record<string, unknown> = { email: "x" };
  for (let depth = 0; depth < DEPTH_MAX; depth++) payload = { a: payload };
  const transform: TransformPlugin = plugin.create();
  await transform.init?.(plugin.config.parse({}));
  const event = { event_id: "1", payload } as never;
  expect(await transform.process(event, undefined as never)).toMatchObject({ type: "error", retryable: false });
});

test("stays linear on paths and names that would make a backtracking matcher explode", () => {
  let payload: Record<string, unknown> = { no: 1 };
  for (let depth = 0; depth < 60; depth++) payload = { a: payload, ["a".repeat(60)]: depth };
  const evil = [mask(`${"**.".repeat(15)}b`), mask(`${"*a".repeat(30)}b`), mask(`**.${"a*".repeat(30)}c`)];
  const startedAt = performance.now();
  scrub(payload, evil);
  expect(performance.now() - startedAt).toBeLessThan(1_000);
});

test.each([
  ["a", ["a"], ["b", "A", "aa"]],
  ["card_*", ["card_", "card_no"], ["card", "xcard_"]],
  ["*_email", ["_email", "my_email"], ["email", "my_email2"]],
  ["a*b*c", ["abc", "aXbYc", "abbc"], ["ac", "acb", "ab"]],
  ["ab*ba", ["abba", "abXba"], ["aba"]],
  ["*", ["", "anything"], []],
])("the name %s takes %j and not %j", (path, taken, left) => {
  const [step] = parsePath(path);
  for (const name of taken) expect(takes(step as never, name, false), name).toBe(true);
  for (const name of left) expect(takes(step as never, name, false), name).toBe(false);
});

test.each([
  "",
  ".",
  "a.",
  ".a",
  "a..b",
  "a[",
  "a[]",
  "a[x]",
  "a[-1]",
  'a["x]',
  "a]b",
  "**",
  "a.**",
  "a b[*]c",
  "a".padEnd(200, ".a"),
])("refuses the path %j, with where it goes wrong", (path) => {
  const result = plugin.config.safeParse({ rules: [{ path }] });
  expect(result.success).toBe(false);
  expect(result.error?.issues[0]).toMatchObject({
    path: ["rules", 0, "path"],
    message: expect.stringMatching(/^not a path: /),
  });
});
