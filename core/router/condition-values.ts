/** What an expression works with: JSON values as they were parsed, whole numbers as bigint, times. */
export type Value =
  | null
  | boolean
  | number
  | bigint
  | string
  | Moment
  | Span
  | readonly unknown[]
  | Readonly<Record<string, unknown>>;

/** A point in time, milliseconds since the epoch. */
export class Moment {
  readonly ms: number;
  constructor(ms: number) {
    this.ms = ms;
  }
}

/** A length of time in milliseconds. */
export class Span {
  readonly ms: number;
  constructor(ms: number) {
    this.ms = ms;
  }
}

/**
 * Why an expression has no result for an event. Handed on as a value, not thrown: events of many
 * kinds meet one condition, and most lack some field of it.
 */
export class Fault {
  readonly code: FaultCode;
  readonly message: string;
  constructor(code: FaultCode, message: string) {
    this.code = code;
    this.message = message;
  }
}

export type FaultCode = "missing_field" | "wrong_type" | "bad_value" | "too_costly";

/** Thrown, so that no `||` and no `exists` goes on after it. */
export class TooCostly extends Error {}

/** Steps that one evaluation may take. */
export class Budget {
  #left: number;
  constructor(steps: number) {
    this.#left = steps;
  }
  spend(steps: number): void {
    this.#left -= steps;
    if (this.#left < 0) throw new TooCostly();
  }
}

/** Characters that are handled in about the time of one step. */
const CHARS_PER_STEP = 64;

/** The steps of going once through so many characters. */
export function charSteps(chars: number): number {
  return chars / CHARS_PER_STEP;
}

// ES2025 "JSON.parse source text access"; the type library does not have it yet.
const { isRawJSON: isRawJson } = JSON as unknown as { isRawJSON(this: void, value: unknown): boolean };

/** JSON has no longer integer: the door refuses numbers beyond a double's range. */
const INTEGER = /^-?\d{1,400}$/;

/** A payload's value as expressions see it. A whole number that a double can't hold is exact, as a bigint. */
export function valueOf(json: unknown): Value | Fault {
  switch (typeof json) {
    case "string":
    case "number":
    case "boolean":
    case "bigint":
      return json;
    case "object":
      if (json === null || Array.isArray(json)) return json;
      if (json instanceof Moment || json instanceof Span) return json;
      return objectOf(json);
    default:
      return new Fault("wrong_type", `a ${typeof json} is no JSON value`);
  }
}

function objectOf(json: object): Value | Fault {
  if (isRawJson(json)) {
    const { rawJSON: text } = json as { rawJSON: string };
    return INTEGER.test(text) ? BigInt(text) : Number(text);
  }
  if (typeof (json as { toJSON?: unknown }).toJSON === "function")
    return new Fault("wrong_type", "an object with a JSON form of its own is no JSON value");
  return json as Readonly<Record<string, unknown>>;
}

/** The value's type in CEL's words, for messages. */
export function typeName(value: Value): string {
  if (value === null) return "null";
  if (Array.isArray(value)) return "list";
  if (value instanceof Moment) return "timestamp";
  if (value instanceof Span) return "duration";
  const name = typeof value;
  if (name === "object") return "map";
  return { bigint: "int", number: "double", boolean: "bool" }[name as string] ?? name;
}

export function isNumber(value: Value): value is number | bigint {
  return typeof value === "number" || typeof value === "bigint";
}

export function isMap(value: Value): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value) && !isTime(value);
}

function isTime(value: Value): value is Moment | Span {
  return value instanceof Moment || value instanceof Span;
}

const DEPTH_MAX = 100;

/** Equality across types is false, numbers are equal by their exact values; lists and maps by their contents. */
export function equal(a: Value | Fault, b: Value | Fault, budget: Budget, depth = 0): boolean {
  if (typeof a === "string" && typeof b === "string") {
    if (a.length === b.length) budget.spend(charSteps(a.length));
    return a === b;
  }
  if (a === b) return true;
  if (a instanceof Fault || b instanceof Fault || a === null || b === null) return false;
  // oxlint-disable-next-line eqeqeq -- the one comparison of bigint and number that is exact
  if (isNumber(a) && isNumber(b)) return a == b;
  if (typeof a !== "object" || typeof b !== "object" || depth > DEPTH_MAX) return false;
  if (isTime(a) || isTime(b)) return a.constructor === b.constructor && (a as Moment).ms === (b as Moment).ms;
  if (Array.isArray(a) !== Array.isArray(b)) return false;
  return equalMembers(a as Members, b as Members, { budget, depth });
}

type Members = Readonly<Record<string, unknown>>;

/** Lists are compared by their indexes as keys. */
function equalMembers(a: Members, b: Members, at: { readonly budget: Budget; readonly depth: number }): boolean {
  const keys = Object.keys(a);
  at.budget.spend(keys.length);
  if (keys.length !== Object.keys(b).length) return false;
  return keys.every((key) => Object.hasOwn(b, key) && equal(valueOf(a[key]), valueOf(b[key]), at.budget, at.depth + 1));
}

/** Negative, zero or positive; undefined where the two have no order. Numbers compare by their exact values. */
export function compare(a: Value, b: Value, budget: Budget): number | undefined {
  if (isNumber(a) && isNumber(b)) return order(a, b);
  if (typeof a === "string" && typeof b === "string") {
    budget.spend(charSteps(Math.min(a.length, b.length)));
    return order(a, b);
  }
  if (typeof a === "boolean" && typeof b === "boolean") return order(a, b);
  if (isTime(a) && isTime(b) && a.constructor === b.constructor) return a.ms - b.ms;
  return undefined;
}

function order<T extends string | boolean | number | bigint>(a: T, b: T): number {
  if (a < b) return -1;
  return a > b ? 1 : 0;
}
