import fc from "fast-check";
import { describe, expect, it, test } from "vitest";
import { encodeParts } from "./codec.ts";
import { isPayloadPointer, payloadKey } from "./payload-key.ts";

function keyOf(pointer: string, payload: string): string | undefined {
  const bytes = encodeParts({
    eventId: "e",
    tenantId: "t",
    eventType: "a",
    source: "http",
    payload: Buffer.from(payload),
  });
  return payloadKey(pointer)(bytes);
}

describe("the key of a payload", () => {
  test.each([
    ["/order_id", '{"order_id":"a1"}', '"a1"'],
    ["/order_id", '{ "x": [1, {"order_id": 2}], "order_id" : 17 }', "17"],
    ["/order/id", '{"order":{"id":true}}', "true"],
    ["/items/1/id", '{"items":[{"id":"a"}, {"id":"b"}]}', '"b"'],
    ["/a~1b/~0c", '{"a/b":{"~c":"x"}}', '"x"'],
    ["/", '{"":"empty name"}', '"empty name"'],
    ["/id", '{"id":"first","id":"last"}', '"last"'],
    ["/\u00e9", '{"\\u00e9":"caf\\u00e9"}', '"caf\u00e9"'],
  ])("lies at %s of %s", (pointer, payload, key) => {
    expect(keyOf(pointer, payload)).toBe(key);
  });

  test.each([
    ["/order_id", "{}"],
    ["/order_id", '{"order_id":null}'],
    ["/order_id", '{"order_id":{"a":1}}'],
    ["/order_id", '{"order_id":["a"]}'],
    ["/order/id", '{"order":"id"}'],
    ["/items/2", '{"items":[1,2]}'],
    ["/items/0", '{"items":[]}'],
    ["/items/00", '{"items":[1]}'],
    ["/items/x", '{"items":[1]}'],
  ])("is not there at %s of %s", (pointer, payload) => {
    expect(keyOf(pointer, payload)).toBeUndefined();
  });

  it("is the same for one text however it is escaped, and never the same for a number and a text", () => {
    expect(keyOf("/k", String.raw`{"k":"\u0041\/"}`)).toBe(keyOf("/k", '{"k":"A/"}'));
    expect(keyOf("/k", '{"k":"1"}')).not.toBe(keyOf("/k", '{"k":1}'));
  });

  it("takes little room, however long it is, and tells long ones apart", () => {
    const long = "x".repeat(100_000);
    const [a, b] = [keyOf("/k", `{"k":"${long}a"}`), keyOf("/k", `{"k":"${long}b"}`)];
    expect(a?.length).toBeLessThan(65);
    expect(a).not.toBe(b);
  });

  it("finds what a parse of the whole payload finds", () => {
    const name = fc.constantFrom("a", "b", "~", "/", "0", "1", "\u{1f642}", '"');
    const values = [fc.string({ unit: "binary", maxLength: 20 }), fc.integer(), fc.boolean(), fc.constant(null)];
    const object = fc.object({ key: name, values, maxDepth: 3, maxKeys: 4 });
    const steps = fc.array(name, { minLength: 1, maxLength: 4 });
    const indent = fc.constantFrom(undefined, 1, "\t");
    fc.assert(
      fc.property(object, steps, indent, (payload, path, space) => {
        const pointer = path.map((step) => `/${step.replaceAll("~", "~0").replaceAll("/", "~1")}`).join("");
        const key = keyOf(pointer, JSON.stringify(payload, null, space));
        const found = path.reduce<unknown>(inside, payload);
        const isKey = ["string", "number", "boolean"].includes(typeof found);
        expect(key).toBe(isKey ? JSON.stringify(found) : undefined);
      }),
    );
  });
});

function inside(value: unknown, step: string): unknown {
  if (Array.isArray(value)) return /^\d+$/.test(step) ? (value as unknown[])[Number(step)] : undefined;
  if (typeof value !== "object" || value === null) return undefined;
  return Object.hasOwn(value, step) ? (value as Record<string, unknown>)[step] : undefined;
}

test.each([
  ["/a", true],
  ["/a/0/b", true],
  ["/", true],
  ["/~0~1", true],
  ["", false],
  ["a", false],
  ["/~2", false],
  ["/a~", false],
])("%j is a pointer into the payload: %s", (text, is) => {
  expect(isPayloadPointer(text)).toBe(is);
});
