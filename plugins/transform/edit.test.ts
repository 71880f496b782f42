import { expect, test } from "vitest";
import { DEPTH_MAX, editPayload, type Member, Renamed, REMOVED } from "./edit.ts";
import { parsePath } from "./paths.ts";

type Action = "mask" | "remove" | "deep" | { readonly name: string };

function edited(payload: Record<string, unknown>, rules: Readonly<Record<string, Action>>, conflicts: string[] = []) {
  return editPayload<Action>(payload, {
    rules: Object.entries(rules).map(([path, action]) => ({ steps: parsePath(path), action })),
    edit: ({ value }: Member, [action]) => {
      if (action === "mask") return "***";
      if (action === "remove") return REMOVED;
      return action === "deep" || action === undefined ? value : new Renamed(action.name);
    },
    isDeep: (action) => action === "deep",
    editLeaf: (value) => (typeof value === "string" ? value.toUpperCase() : value),
    onConflict: () => conflicts.push("conflict"),
  });
}

test("edits a value of any type", () => {
  const payload = { a: 1, b: null, c: { d: 1 }, e: [1], f: false, g: "" };
  expect(edited(payload, { "*": "mask" })).toEqual({ a: "***", b: "***", c: "***", e: "***", f: "***", g: "***" });
});

test("takes a number that a double can't hold for a value, whatever it is made of", () => {
  const { rawJSON } = JSON as unknown as { rawJSON(text: string): unknown };
  const payload = { big: rawJSON("12345678901234567890") };
  expect(edited(payload, { "big.*": "mask", "**.rawJSON": "remove" })).toBe(payload);
  expect(edited(payload, { big: "mask" })).toEqual({ big: "***" });
});

test("shares what no rule touches and returns the same payload when none does", () => {
  const payload = { a: { b: 1 }, c: { email: "x" } };
  expect(edited(payload, { "nothing.here": "mask" })).toBe(payload);
  const result = edited(payload, { "c.email": "mask" });
  expect(result["a"]).toBe(payload.a);
  expect(payload.c.email).toBe("x");
});

test("removes elements, and those after them move up", () => {
  expect(edited({ list: [1, { x: 1 }, 3] }, { "list[0]": "remove", "list[*].x": "remove" })).toEqual({ list: [{}, 3] });
});

test("hands all below the end of a deep rule to the edit of leaves", () => {
  const payload = { a: { b: ["x", { c: "y" }], n: 1 }, d: "z", e: "w" };
  expect(edited(payload, { a: "deep", d: "deep" })).toEqual({ a: { b: ["X", { c: "Y" }], n: 1 }, d: "Z", e: "w" });
});

test("renames a member in its place, and goes on below it", () => {
  const text = JSON.stringify(edited({ a: 1, b: { x: 1 }, c: 3 }, { b: { name: "B" }, "b.x": "mask" }));
  expect(text).toBe('{"a":1,"B":{"x":"***"},"c":3}');
  expect(JSON.stringify(edited({ a: 1 }, { a: { name: "__proto__" } }))).toBe('{"__proto__":1}');
});

test("gives no member the name of another", () => {
  const conflicts: string[] = [];
  expect(edited({ a: 1, b: 2, c: 3 }, { a: { name: "c" }, b: { name: "c" } }, conflicts)).toEqual({ a: 1, b: 2, c: 3 });
  expect(edited({ a: 1, b: 2 }, { a: { name: "c" }, b: { name: "c" } }, conflicts)).toEqual({ c: 1, b: 2 });
  expect(conflicts).toHaveLength(3);
});

test("finds names that JavaScript gives a meaning of its own, and only as members", () => {
  const payload = JSON.parse('{"__proto__":{"email":"x"},"constructor":"y","list":[1]}') as Record<string, unknown>;
  const rules = { "__proto__.email": "mask", constructor: "mask", "list.length": "mask", toString: "mask" } as const;
  expect(JSON.stringify(edited(payload, rules))).toBe('{"__proto__":{"email":"***"},"constructor":"***","list":[1]}');
  expect(({} as Record<string, unknown>)["email"]).toBeUndefined();
});

test("refuses what is too deep to be searched", () => {
  let payload: Record<string, unknown> = { email: "x" };
  for (let depth = 0; depth < DEPTH_MAX; depth++) payload = { a: payload };
  expect(() => edited(payload, { "**.email": "mask" })).toThrow(RangeError);
});

test("stays linear on paths and names that would make a backtracking matcher explode", () => {
  let payload: Record<string, unknown> = { no: 1 };
  for (let depth = 0; depth < 60; depth++) payload = { a: payload, ["a".repeat(60)]: depth };
  let visits = 0;
  const rules = [`${"**.".repeat(15)}b`, `${"*a".repeat(30)}b`, `**.${"a*".repeat(30)}c`, "**.*"].map((path) => ({
    steps: parsePath(path),
    action: path,
  }));
  editPayload(payload, { rules, edit: ({ value }) => (visits++, value) });
  expect(visits).toBe(121);
});
