import type { z, ZodObject, ZodType } from "zod";
import { valueAt } from "./problems.ts";
import type { Path } from "./source.ts";
import type { Substituted } from "./substitute.ts";

export interface ValidateOptions {
  readonly substituted: readonly Substituted[];
  /** Where the value lies in the file. */
  readonly base: Path;
}

/**
 * Validates a value of the file. `${PORT}` is text where a number is wanted: such values, and only
 * those, are turned into the type that the schema asks for. Changes `value` in place where it does so.
 */
export function validate(
  schema: ZodType,
  value: unknown,
  { substituted, base }: ValidateOptions,
): { parsed: unknown; issues: readonly z.core.$ZodIssue[] } {
  const first = schema.safeParse(value);
  if (first.success) return { parsed: first.data, issues: [] };
  const own = new Set(
    substituted
      .filter(({ path }) => base.every((part, i) => path[i] === part))
      .map(({ path }) => JSON.stringify(path.slice(base.length))),
  );
  const changed = first.error.issues.filter(
    (issue) => own.has(JSON.stringify(issue.path)) && convert(value, issue.path as Path),
  );
  if (changed.length === 0) return { parsed: undefined, issues: first.error.issues };
  const second = schema.safeParse(value);
  return second.success ? { parsed: second.data, issues: [] } : { parsed: undefined, issues: second.error.issues };
}

/** A mistyped option must not be dropped in silence, whatever the plugin's author thought of. */
export function strict(schema: ZodType): ZodType {
  const known = STRICT.get(schema);
  if (known !== undefined) return known;
  // By its definition: a plugin may come with a zod of its own.
  const { type, catchall } = schema.def as { type: string; catchall?: unknown };
  const made = type === "object" && catchall === undefined ? (schema as ZodObject).strict() : schema;
  STRICT.set(schema, made);
  return made;
}

/** A schema is compiled at its first use, so each is made once. */
const STRICT = new WeakMap<ZodType, ZodType>();

function convert(root: unknown, path: Path): boolean {
  const text = valueAt(root, path);
  const parent = valueAt(root, path.slice(0, -1));
  const key = path.at(-1);
  if (typeof text !== "string" || key === undefined || parent === null || typeof parent !== "object") return false;
  const literal = /^-?\d+(\.\d+)?$/.test(text)
    ? Number(text)
    : text === "true" || text === "false"
      ? text === "true"
      : text;
  if (literal === text) return false;
  (parent as Record<string | number, unknown>)[key] = literal;
  return true;
}
