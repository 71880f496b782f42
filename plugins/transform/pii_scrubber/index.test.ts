import { createHmac } from "node:crypto";
import { expect, test } from "vitest";
import { transformConformance } from "../../../tests/conformance/transform.ts";
import { DEPTH_MAX } from "../edit.ts";
import plugin from "./index.ts";
import { compile } from "./scrub.ts";

const KEY = "a key of the test";

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
    { key: KEY, rules: [{ path: "**.*", action: "hash" }] },
    { rules: [{ path: "*", action: "truncate", keep_first: 1, keep_last: 2 }] },
    { phone_region: "US", rules: [{ detect: ["email", "phone", "ip", "card", "iban"] }] },
    { rules: [] },
  ],
});

function scrubbed(payload: Record<string, unknown>, ...rules: readonly unknown[]): Record<string, unknown> {
  return compile(plugin.config.parse({ key: KEY, rules }))(payload);
}

test("drops where one rule drops and another masks, in either order, and so on down to truncate", () => {
  const rules = [
    { path: "a", action: "truncate", keep_first: 1 },
    { path: "a", action: "hash" },
    { path: "a", action: "mask" },
    { path: "a", action: "drop" },
  ];
  const hash = createHmac("sha256", KEY).update("xyz").digest("hex");
  for (const [count, expected] of [
    [4, {}],
    [3, { a: "***" }],
    [2, { a: hash }],
    [1, { a: "x***" }],
  ] as const) {
    expect(scrubbed({ a: "xyz" }, ...rules.slice(0, count))).toEqual(expected);
    expect(scrubbed({ a: "xyz" }, ...rules.slice(0, count).toReversed())).toEqual(expected);
  }
});

test("hashes the text of a value, of an object its JSON, with every digit of a number", () => {
  const payload = JSON.parse('{"s":"ann","n":12,"o":{"a":[1]}}') as Record<string, unknown>;
  const { rawJSON } = JSON as unknown as { rawJSON(text: string): unknown };
  payload["big"] = rawJSON("12345678901234567890");
  const hash = (text: string) => createHmac("sha256", KEY).update(text).digest("hex");
  expect(scrubbed(payload, { path: "*", action: "hash" })).toEqual({
    s: hash("ann"),
    n: hash("12"),
    o: hash('{"a":[1]}'),
    big: hash("12345678901234567890"),
  });
});

test("truncates by characters, and masks what would be kept whole or has no text", () => {
  const payload = { emoji: "👩🏽‍💻ab🎉cd", short: "abc", number: 4111, list: [1], yes: true };
  expect(scrubbed(payload, { path: "*", action: "truncate", keep_first: 1, keep_last: 2, mask_with: "…" })).toEqual({
    emoji: "👩…cd",
    short: "…",
    number: "4…11",
    list: "…",
    yes: "…",
  });
});

test("replaces what a detector finds and leaves the text around it", () => {
  const rules = [
    { detect: ["email"], action: "hash" },
    { detect: ["card"], action: "truncate", keep_last: 4 },
    { path: "secret", detect: ["ip"], action: "drop" },
  ];
  const hash = createHmac("sha256", KEY).update("ann@example.com").digest("hex");
  expect(
    scrubbed(
      {
        note: "ann@example.com paid 4111 1111 1111 1111.",
        list: ["1.2.3.4"],
        secret: { at: "10.0.0.1", n: 1 },
        pan: 4111111111111111,
      },
      ...rules,
    ),
  ).toEqual({ note: `${hash} paid ***1111.`, list: ["1.2.3.4"], secret: { n: 1 }, pan: "***1111" });
});

test("takes time linear in the text, whatever the text", () => {
  const search = compile(
    plugin.config.parse({ phone_region: "US", rules: [{ detect: ["email", "phone", "ip", "card", "iban"] }] }),
  );
  for (const piece of [
    "a@b.co ",
    "1.1.1.1 ",
    "4111111111111111 ",
    "@",
    "%40a.",
    "1",
    "1 ",
    "DE89",
    ":",
    "a:",
    "1.",
    "(1",
    "+",
  ]) {
    const startedAt = performance.now();
    try {
      search({ text: piece.repeat(300_000 / piece.length) });
    } catch (error) {
      expect(error).toBeInstanceOf(RangeError);
    }
    // No measurement: what is quadratic takes minutes to hours.
    expect(performance.now() - startedAt, piece).toBeLessThan(30_000);
  }
});

test("refuses a payload that is too deep to be searched, rather than passing it on", async () => {
  let payload: Record<string, unknown> = { email: "x" };
  for (let depth = 0; depth < DEPTH_MAX; depth++) payload = { a: payload };
  const transform = plugin.create();
  await transform.init?.(plugin.config.parse({}));
  const event = { event_id: "1", payload } as never;
  expect(await transform.process(event)).toMatchObject({ type: "error", retryable: false });
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
  expect(result.error?.issues[0]).toMatchObject({
    path: ["rules", 0, "path"],
    message: expect.stringMatching(/^not a path: /),
  });
});

test.each([
  [{ rules: [{}] }, 'needs a "path"'],
  [{ rules: [{ path: "a", action: "hash" }] }, 'needs a "key"'],
  [{ rules: [{ path: "a", action: "truncate" }] }, "needs keep_first or keep_last"],
  [{ rules: [{ path: "a", keep_first: 1 }] }, "are for truncate"],
  [{ rules: [{ detect: [] }] }, "Too small"],
  [{ key: "short", rules: [] }, "Too small"],
])("refuses %j, which says too little", (config, words) => {
  expect(plugin.config.safeParse(config).error?.issues[0]?.message).toContain(words);
});
