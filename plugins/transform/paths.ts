import type { z } from "zod";

/** One step of a compiled path. */
export type Step =
  | { readonly type: "name"; readonly name: string }
  /** A member name with `*` in it: any run of characters. */
  | { readonly type: "glob"; readonly parts: readonly string[] }
  | { readonly type: "index"; readonly index: number }
  /** Every element of an array. */
  | { readonly type: "elements" }
  /** Every member of an object. */
  | { readonly type: "members" }
  /** Any number of steps down, none included. */
  | { readonly type: "anywhere" };

export const STEPS_MAX = 32;

const TOKEN = /(\*\*)|\[(?:(\*)|(\d{1,9})|"((?:[^"\\]|\\.)*)")\]|([^.[\]"]+)/y;

/**
 * `user.email`, `items[*].phone`, `items[0]`, `*.email`, `**.password`, `card_*`, `["a.b"].c`.
 * Throws with what is wrong and where.
 */
export function parsePath(text: string): readonly Step[] {
  const steps: Step[] = [];
  for (let at = 0; at < text.length; ) {
    const bracket = text[at] === "[";
    if (steps.length > 0 && !bracket) {
      if (text[at] !== ".") throw new Error(`"." or "[" expected at character ${at + 1}`);
      at += 1;
    }
    TOKEN.lastIndex = at;
    const match = TOKEN.exec(text);
    if (match === null)
      throw new Error(`a member name, "*", "**", "[*]", "[0]" or '["name"]' expected at character ${at + 1}`);
    steps.push(stepOf(match));
    at = TOKEN.lastIndex;
  }
  if (steps.length === 0) throw new Error("the path is empty");
  if (steps.length > STEPS_MAX) throw new Error(`the path has more than ${STEPS_MAX} steps`);
  if (steps.at(-1)?.type === "anywhere") throw new Error('"**" must be followed by a name');
  return steps;
}

function stepOf([, anywhere, elements, index, quoted, name]: RegExpExecArray): Step {
  if (anywhere !== undefined) return { type: "anywhere" };
  if (elements !== undefined) return { type: "elements" };
  if (index !== undefined) return { type: "index", index: Number(index) };
  if (quoted !== undefined) return { type: "name", name: quoted.replace(/\\(.)/g, "$1") };
  if (name === "*") return { type: "members" };
  if (name?.includes("*")) return { type: "glob", parts: name.split("*") };
  return { type: "name", name: name as string };
}

/** Whether a step takes the member or element with this key; `inArray` says which of the two it is. */
export function takes(step: Step, key: string, inArray: boolean): boolean {
  switch (step.type) {
    case "elements":
      return inArray;
    case "index":
      return inArray && String(step.index) === key;
    case "anywhere":
      return true;
    case "members":
      return !inArray;
    case "name":
      return !inArray && step.name === key;
    case "glob":
      return !inArray && globTakes(step.parts, key);
  }
}

/** Left to right without backtracking: the first place where a part fits is as good as any later one. */
function globTakes(parts: readonly string[], key: string): boolean {
  const first = parts[0] as string;
  const last = parts.at(-1) as string;
  if (!key.startsWith(first) || !key.endsWith(last) || key.length < first.length + last.length) return false;
  let at = first.length;
  for (const part of parts.slice(1, -1)) {
    const found = key.indexOf(part, at);
    if (found === -1) return false;
    at = found + part.length;
  }
  return at <= key.length - last.length;
}

/** One place in a payload: names and indexes only. */
export type Field = readonly (string | number)[];

/** `user.ip`, `items[0].price`, `["a.b"]`: a path without `*`. Throws with what is wrong and where. */
export function parseField(text: string): Field {
  return parsePath(text).map((step) => {
    if (step.type === "name") return step.name;
    if (step.type === "index") return step.index;
    throw new Error('"*" fits many places, and one is wanted');
  });
}

/** What stands at a field; undefined when nothing does. Only members count, never what JavaScript inherits. */
export function readField(payload: unknown, field: Field): unknown {
  let value = payload;
  for (const key of field) {
    if (!isContainer(value) || (typeof key === "number") !== Array.isArray(value)) return undefined;
    if (!Object.hasOwn(value, key)) return undefined;
    value = (value as Record<string | number, unknown>)[key];
  }
  return value;
}

/**
 * The payload with the value at a field, objects on the way made where there is nothing. The payload
 * that was given stays as it is. Undefined when something else stands in the way.
 */
export function withField(
  payload: Record<string, unknown>,
  field: Field,
  value: unknown,
): Record<string, unknown> | undefined {
  return put(payload, field, 0, value) as Record<string, unknown> | undefined;
}

function put(container: unknown, field: Field, at: number, value: unknown): unknown {
  const key = field[at] as string | number;
  const inner = (before: unknown) => (at === field.length - 1 ? value : put(before ?? {}, field, at + 1, value));
  if (!isContainer(container) || (typeof key === "number") !== Array.isArray(container)) return undefined;
  if (typeof key === "number") {
    const list = container as unknown[];
    const made = key < list.length ? inner(list[key]) : undefined;
    return made === undefined ? undefined : list.with(key, made);
  }
  const made = inner(Object.hasOwn(container, key) ? (container as Record<string, unknown>)[key] : undefined);
  // A computed name makes a member of its own also of `__proto__`.
  return made === undefined ? undefined : { ...(container as Record<string, unknown>), [key]: made };
}

/** Numbers that a double can't hold are objects too (raw JSON): they are values, not containers. */
export function isContainer(value: unknown): value is unknown[] | Record<string, unknown> {
  return typeof value === "object" && value !== null && !isRawJSON(value);
}

// ES2025 "JSON.parse source text access"; the type library does not have it yet.
const { isRawJSON } = JSON as unknown as { isRawJSON(this: void, value: unknown): boolean };

/** A zod refinement for options that hold a path. */
export function pathIsValid(path: string, ctx: z.core.$RefinementCtx<string>): void {
  refine(path, ctx, parsePath);
}

/** A zod refinement for options that hold a field. */
export function fieldIsValid(field: string, ctx: z.core.$RefinementCtx<string>): void {
  refine(field, ctx, parseField);
}

function refine(text: string, ctx: z.core.$RefinementCtx<string>, parse: (text: string) => unknown): void {
  try {
    parse(text);
  } catch (error) {
    ctx.addIssue({ code: "custom", message: `not a path: ${(error as Error).message}` });
  }
}
