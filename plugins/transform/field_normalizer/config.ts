import { z } from "zod";
import { parseField, parsePath, pathIsValid } from "../paths.ts";
import { isDecimal, UNITS } from "./decimal.ts";

const RULES_MAX = 500;
const ACTIONS = ["rename", "move", "cast", "default", "case", "trim", "timestamp", "unit", "scale", "remove"] as const;
const CASTS = ["string", "number", "integer", "boolean"] as const;
const CASES = ["lower", "upper"] as const;
const INSTANTS = ["auto", "s", "ms", "us", "ns"] as const;

const rule = z
  .strictObject({
    field: z
      .string()
      .superRefine(pathIsValid)
      .describe(
        'What the rule is about: `amount`, `items[*].price`, `**.userId`, `["a.b"]`. `move` takes one place only.',
      ),
    action: z
      .enum(ACTIONS)
      .describe(
        "`rename` (the last name of `field`), `move`, `cast`, `default` (where the member is missing or null), `case` and `trim` (of text), `timestamp` (to RFC 3339 in UTC), `unit`, `scale`, `remove`.",
      ),
    to: z
      .string()
      .max(1_000)
      .optional()
      .describe(
        `rename: the new name. move: the new place. cast: ${words(CASTS)}. case: ${words(CASES)}. unit: one of ${words(UNITS)}.`,
      ),
    style: z
      .enum(["snake", "camel"])
      .optional()
      .describe("rename, instead of `to`: `userId` becomes `user_id`, or the other way round."),
    value: z.unknown().optional().describe("default: what is put there."),
    from: z
      .string()
      .optional()
      .describe(
        `unit: of a number without one; a text's own (\`1.5 s\`) goes before it. timestamp: what a number counts since 1970, ${words(INSTANTS)}; \`auto\`, the default, tells by its size.`,
      ),
    offset: z
      .string()
      .regex(/^(?:Z|[+-](?:0\d|1[0-4]):[0-5]\d)$/, "Z or an offset such as +07:00")
      .default("Z")
      .describe("timestamp: the offset of a text that states none, e.g. `+07:00`."),
    by: z
      .string()
      .refine(isDecimal, 'a decimal in quotes, e.g. "0.01"')
      .optional()
      .describe('scale: the factor, e.g. `"0.01"` for cents. The product is exact.'),
    on_error: z
      .enum(["keep", "remove", "fail"])
      .default("keep")
      .describe("When a value does not fit: `keep` it, `remove` it, or `fail` the event, which becomes a dead letter."),
  })
  .superRefine((rule, ctx) => {
    const fault = faultOf(rule);
    if (fault !== undefined) ctx.addIssue({ code: "custom", path: [fault.at], message: fault.message });
  });

export type Rule = z.output<typeof rule>;

/** Options of field_normalizer. */
export const config = z.strictObject({
  rules: z
    .array(rule)
    .max(RULES_MAX)
    .default([])
    .meta({
      examples: [
        [
          { field: "**.userId", action: "rename", style: "snake" },
          { field: "amount", action: "cast", to: "number" },
        ],
      ],
    })
    .describe("What is done to each event's payload, one after the other."),
});

export type Config = z.output<typeof config>;

interface Fault {
  readonly at: keyof Rule;
  readonly message: string;
}

/** The options that go with an action, in words for whoever left one out. */
const OPTIONS: Readonly<Record<Rule["action"], readonly (keyof Rule)[]>> = {
  rename: ["to", "style"],
  move: ["to"],
  cast: ["to"],
  default: ["value"],
  case: ["to"],
  trim: [],
  timestamp: ["from"],
  unit: ["to", "from"],
  scale: ["by"],
  remove: [],
};

function faultOf(rule: Rule): Fault | undefined {
  const { action } = rule;
  const strange = (["to", "style", "value", "from", "by"] as const).find(
    (option) => rule[option] !== undefined && !OPTIONS[action].includes(option),
  );
  if (strange !== undefined) return { at: strange, message: `"${strange}" says nothing to the action ${action}` };
  switch (action) {
    case "rename":
      return renameFault(rule);
    case "move":
      return moveFault(rule);
    case "cast":
      return oneOf(rule.to, CASTS);
    case "case":
      return oneOf(rule.to, CASES);
    case "unit":
      return oneOf(rule.to, UNITS) ?? (rule.from === undefined ? undefined : oneOf(rule.from, UNITS, "from"));
    case "timestamp":
      return rule.from === undefined ? undefined : oneOf(rule.from, INSTANTS, "from");
    case "scale":
      return rule.by === undefined ? { at: "action", message: 'scale needs "by"' } : undefined;
    case "default":
      return defaultFault(rule);
    default:
      return undefined;
  }
}

function renameFault({ field, to, style }: Rule): Fault | undefined {
  if ((to === undefined) === (style === undefined)) return { at: "action", message: 'rename needs "to" or "style"' };
  const last = stepsOf(field).at(-1)?.type;
  if (last === "elements" || last === "index") return { at: "field", message: "an element has no name" };
  return to !== undefined && last !== "name"
    ? { at: "to", message: 'all members that fit would get one name; use "style"' }
    : undefined;
}

function moveFault({ field, to }: Rule): Fault | undefined {
  if (to === undefined) return { at: "action", message: 'move needs "to"' };
  for (const [at, text] of [
    ["field", field],
    ["to", to],
  ] as const) {
    try {
      parseField(text);
    } catch (error) {
      return { at, message: `not a place: ${(error as Error).message}` };
    }
  }
  return undefined;
}

function defaultFault({ field, value }: Rule): Fault | undefined {
  if (value === undefined) return { at: "action", message: 'default needs "value"' };
  const steps = stepsOf(field);
  if (steps.length > 0 && steps.at(-1)?.type !== "name")
    return { at: "field", message: "must end with a member's name" };
  return steps.some(({ type }) => type === "anywhere")
    ? { at: "field", message: '"**" would put it into every object' }
    : undefined;
}

/** Empty for what is no path, which the field's own check reports. */
function stepsOf(field: string): ReturnType<typeof parsePath> {
  try {
    return parsePath(field);
  } catch {
    return [];
  }
}

function oneOf(given: string | undefined, known: readonly string[], at: "to" | "from" = "to"): Fault | undefined {
  if (given === undefined) return { at: "action", message: `needs "${at}"` };
  return known.includes(given) ? undefined : { at, message: `must be one of ${known.join(", ")}` };
}

function words(list: readonly string[]): string {
  return list.map((word) => `\`${word}\``).join(" ");
}
