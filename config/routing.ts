import { z } from "zod";
import type { RouteRule } from "../core/ingestion/revision.ts";
import { compileCondition, ConditionError } from "../core/router/condition.ts";
import { formatPath, valueAt } from "./problems.ts";
import type { Problem } from "./problems.ts";
import type { Path, Source } from "./source.ts";

const PATTERN = /^[A-Za-z0-9_.:*-]{1,128}$/;
const PATTERN_ERROR = "expected an event type; * stands for any characters, like order_*";
const SHARE = /^(\d{1,3}(?:\.\d{1,6})?)%$/;
const SHARE_ERROR = "expected a share of all events above 0%, like 10% or 0.5%";

const eventTypes = () => z.array(z.string().regex(PATTERN, PATTERN_ERROR)).min(1, "name at least one event type");

/** The keys of a sink that decide which events it gets. */
export const routeKeys = {
  when: z
    .string()
    .optional()
    .describe(
      'Condition in CEL, like `event.event_type == "order_paid"`: the sink gets the events that it is true of. See docs/routing.md.',
    ),
  include: eventTypes().optional().describe("Event types that the sink gets; `*` stands for any characters."),
  exclude: eventTypes()
    .optional()
    .describe(
      "Event types that the sink does not get, also where `include` names them; `*` stands for any characters.",
    ),
  sample: z
    .string(SHARE_ERROR)
    .regex(SHARE, SHARE_ERROR)
    .transform((text) => Number.parseFloat(text) / 100)
    .refine((share) => share > 0 && share <= 1, SHARE_ERROR)
    .optional()
    .describe("Share of all events that the sink gets, chosen by the event's id: the same events each time."),
  fallback: z.boolean().prefault(false).describe("Whether the sink gets only what no other sink of the tenant takes."),
};

type ParsedRoute = z.output<z.ZodObject<typeof routeKeys>>;

/** Undefined when the sink gets everything. */
export function routeOf({ when, include, exclude, sample, fallback }: ParsedRoute): RouteRule | undefined {
  const given = { when, include, exclude, sampleShare: sample, fallback: fallback ? true : undefined };
  return Object.values(given).every((value) => value === undefined) ? undefined : given;
}

/** What a schema of single values can't see: conditions that are not valid, fallbacks to which nothing is left. */
export function checkRoutes({ value, source }: { readonly value: unknown; readonly source: Source }): Problem[] {
  return listAt(value, ["tenants"]).flatMap((tenant) => {
    const sinks = listAt(value, [...tenant.path, "plugins", "sinks"]);
    return [
      ...sinks.flatMap(({ path, value: sink }) =>
        conditionProblems([...path, "when"], valueAt(sink, ["when"]), source),
      ),
      ...fallbackProblems(sinks, source),
    ];
  });
}

interface Item {
  readonly path: Path;
  readonly value: unknown;
}

function listAt(root: unknown, path: Path): Item[] {
  const list = valueAt(root, path);
  if (!Array.isArray(list)) return [];
  return list.map((value: unknown, index) => ({ path: [...path, index], value }));
}

function conditionProblems(path: Path, when: unknown, source: Source): Problem[] {
  if (typeof when !== "string") return [];
  try {
    compileCondition(when);
    return [];
  } catch (error) {
    if (!(error instanceof ConditionError)) throw error;
    const place = source.placeInText(path, error);
    const hint = "docs/routing.md shows what a condition may say";
    return [{ file: source.file, ...place, message: `${formatPath(path)}: ${error.message}`, hint }];
  }
}

function fallbackProblems(sinks: readonly Item[], source: Source): Problem[] {
  const others = sinks.filter(({ value }) => valueAt(value, ["fallback"]) !== true);
  const greedy = others.find(({ value }) => ROUTE_KEYS.every((key) => valueAt(value, [key]) === undefined));
  if (greedy === undefined) return [];
  const hint = "give that sink a condition, or take the fallback away";
  return sinks
    .filter((sink) => !others.includes(sink))
    .map(({ path }) => ({
      file: source.file,
      ...source.placeOf([...path, "fallback"]),
      message: `${formatPath(path)}.fallback: nothing is ever left for it, ${formatPath(greedy.path)} takes every event`,
      hint,
    }));
}

const ROUTE_KEYS = ["when", "include", "exclude", "sample"];
