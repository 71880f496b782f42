import { z } from "zod";
import { NAME_PATTERN } from "../../../core/canonical/event.ts";
import { compileCondition, ConditionError } from "../../../core/router/condition.ts";
import { fieldIsValid } from "../paths.ts";

const RULES_MAX = 200;

/** What an event gets. */
export interface Decision {
  readonly route?: string | undefined;
  readonly event_type?: string | undefined;
}

const route = z.string().min(1).max(128).optional();
const eventType = z.string().regex(NAME_PATTERN, "1 to 128 letters, digits, _ . : -").optional();

const rule = z
  .strictObject({
    when: z
      .string()
      .superRefine(conditionIsValid)
      .describe("Condition in CEL, e.g. `event.payload.amount > 1000`; see docs/routing.md."),
    route: route.describe("The label that the event gets."),
    event_type: eventType.describe("The event type that it gets."),
  })
  .superRefine(saysSomething);

/** Options of business_router. */
export const config = z.strictObject({
  mode: z
    .enum(["first", "all"])
    .default("first")
    .describe(
      "`first`: the first rule whose condition is true decides. `all`: every such rule adds its label, and the last one's event type counts.",
    ),
  field: z
    .string()
    .superRefine(fieldIsValid)
    .default("route")
    .describe(
      "Where in the payload the label goes: a text, with `all` a list of texts. It is the router's alone: what a client put there is removed.",
    ),
  rules: z
    .array(rule)
    .max(RULES_MAX)
    .default([])
    .meta({ examples: [[{ when: "event.payload.amount > 1000", route: "large" }]] })
    .describe("Asked in this order, of the event as it came."),
  otherwise: z
    .strictObject({
      route: route.describe("The label that the event gets."),
      event_type: eventType.describe("The event type that it gets."),
    })
    .superRefine(saysSomething)
    .optional()
    .describe("For an event of which no rule's condition is true."),
});

export type Config = z.output<typeof config>;

function conditionIsValid(source: string, ctx: z.core.$RefinementCtx<string>): void {
  try {
    compileCondition(source);
  } catch (error) {
    if (!(error instanceof ConditionError)) throw error;
    const { message, line, column } = error;
    ctx.addIssue({ code: "custom", message: `not a condition: ${message}`, params: { line, column } });
  }
}

function saysSomething(decision: Decision, ctx: z.core.$RefinementCtx): void {
  if (decision.route === undefined && decision.event_type === undefined)
    ctx.addIssue({ code: "custom", message: 'needs a "route", an "event_type", or both' });
}
