import type { CanonicalEvent } from "../canonical/event.ts";
import type { RouteRule, SinkUse } from "../ingestion/revision.ts";
import { type Condition, compileCondition, type ConditionResult } from "./condition.ts";
import { compileGlobs } from "./globs.ts";
import { isSampled } from "./sample.ts";

/** Whether a sink gets an event, and if not, why not. */
export type RouteDecision =
  | { readonly type: "take" }
  | { readonly type: "skip"; readonly reason: SkipReason; readonly detail: string }
  /** It could not be found out: the event must not be lost for it. */
  | { readonly type: "fail"; readonly code: "route_too_costly"; readonly detail: string };

/** As the ledger counts them. The last three: the condition has no result for the event. */
export type SkipReason =
  | "route:include"
  | "route:exclude"
  | "route:sample"
  | "route:when"
  | "route:fallback"
  | "route:missing_field"
  | "route:wrong_type"
  | "route:bad_value";

/** The way of a tenant's events to one of its sinks. A function of the event and the rules alone, so that all lanes agree. */
export interface Route {
  decide(event: CanonicalEvent): RouteDecision;
}

type RoutedSink = Pick<SinkUse, "id" | "route">;

/**
 * Compiles the rule of one of a tenant's sinks; undefined when the sink takes everything. The others'
 * rules count for a fallback. Throws `ConditionError` for a condition that is not valid.
 */
export function compileRoute(sinks: readonly RoutedSink[], sinkId: string): Route | undefined {
  const rule = sinks.find(({ id }) => id === sinkId)?.route;
  if (rule === undefined) return undefined;
  const decide = compileRule(rule);
  if (rule.fallback !== true) return { decide };
  const others = sinks
    .filter(({ route }) => route?.fallback !== true)
    .map(({ id, route }) => ({ id, decide: route === undefined ? () => TAKE : compileRule(route) }));
  return {
    decide: (event) => {
      const own = decide(event);
      if (own.type !== "take") return own;
      // What another sink could not decide on is in its dead letters: it is owed to that one.
      const owner = others.find((other) => other.decide(event).type !== "skip");
      return owner === undefined ? TAKE : skip("route:fallback", `${owner.id} takes it`);
    },
  };
}

const TAKE: RouteDecision = { type: "take" };

function skip(reason: SkipReason, detail: string): RouteDecision {
  return { type: "skip", reason, detail };
}

type Decide = (event: CanonicalEvent) => RouteDecision;

/** Cheap tests first; the payload is looked at last. */
function compileRule({ when, include, exclude, sampleShare }: RouteRule): Decide {
  const isIncluded = include === undefined ? undefined : compileGlobs(include);
  const isExcluded = exclude === undefined ? undefined : compileGlobs(exclude);
  const condition = when === undefined ? undefined : compileCondition(when);
  const notIncluded = skip("route:include", "include does not name its event type");
  const excluded = skip("route:exclude", "exclude names its event type");
  const notSampled = skip("route:sample", `not among the sample of ${(sampleShare ?? 1) * 100}%`);
  const decideWhen = condition === undefined ? () => TAKE : whenDecision(condition);
  return (event) => {
    if (isIncluded?.(event.event_type) === false) return notIncluded;
    if (isExcluded?.(event.event_type) === true) return excluded;
    if (sampleShare !== undefined && !isSampled(event.event_id, sampleShare)) return notSampled;
    return decideWhen(event);
  };
}

function whenDecision(condition: Condition): Decide {
  const notTrue = skip("route:when", `not true: ${condition.source.trim()}`);
  return (event) => {
    const result = condition.evaluate(event);
    if (result.matched) return TAKE;
    return result.fault === undefined ? notTrue : faultDecision(result.fault);
  };
}

/** A rule and an event that do not fit each other are usual among events of many kinds; a rule that takes too long is not. */
function faultDecision({ code, message }: NonNullable<ConditionResult["fault"]>): RouteDecision {
  if (code === "too_costly") return { type: "fail", code: "route_too_costly", detail: message };
  return skip(`route:${code}`, message);
}
