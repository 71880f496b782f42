import fc from "fast-check";
import { expect, test } from "vitest";
import { parseField, parsePath, readField, takes, withField } from "./paths.ts";

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

test("a field is a path without stars", () => {
  expect(parseField('user["a.b"][0].ip')).toEqual(["user", "a.b", 0, "ip"]);
  for (const path of ["*", "a.*", "a[*]", "**.b", "a_*"]) expect(() => parseField(path), path).toThrow("many places");
});

test("reads members only, and elements only by index", () => {
  const payload = { user: { ip: "x" }, list: [{ n: 1 }], "0": "member" };
  expect(readField(payload, parseField("user.ip"))).toBe("x");
  expect(readField(payload, parseField("list[0].n"))).toBe(1);
  for (const path of ["user.toString", "list.length", "list[1].n", "[0]", "user.ip.length", "constructor", "__proto__"])
    expect(readField(payload, parseField(path)), path).toBeUndefined();
});

test("writes a field, makes what is missing on the way, and leaves the payload that it was given alone", () => {
  const payload = { user: { id: 1 }, list: [{ n: 1 }] };
  expect(withField(payload, parseField("user.geo.city"), "Hanoi")).toEqual({
    user: { id: 1, geo: { city: "Hanoi" } },
    list: [{ n: 1 }],
  });
  expect(withField(payload, parseField("list[0].n"), 2)).toEqual({ user: { id: 1 }, list: [{ n: 2 }] });
  expect(payload).toEqual({ user: { id: 1 }, list: [{ n: 1 }] });
});

test("writes nothing where something else stands in the way", () => {
  const payload = { text: "x", list: [1], object: {} };
  for (const path of ["text.a", "list.a", "list[1]", "object[0]", "list[0].a"])
    expect(withField(payload, parseField(path), 1), path).toBeUndefined();
});

test("reads what it wrote, whatever the names, and pollutes nothing", () => {
  const name = fc.oneof(fc.string(), fc.constantFrom("__proto__", "constructor", "toString"));
  fc.assert(
    fc.property(fc.array(name, { minLength: 1, maxLength: 5 }), (field) => {
      const written = withField({}, field, "x");
      expect(readField(written, field)).toBe("x");
      expect(({} as Record<string, unknown>)["x"]).toBeUndefined();
      expect(Object.getPrototypeOf(written)).toBe(Object.prototype);
    }),
  );
});
