import { type Step, takes } from "./paths.ts";

export type Action = { readonly type: "drop" } | { readonly type: "mask"; readonly with: string };

export interface Rule {
  readonly steps: readonly Step[];
  readonly action: Action;
}

/** A rule that has matched up to the step with this index. */
interface State {
  readonly rule: Rule;
  readonly index: number;
}

/** Deeper than any event that PulseGate accepts; keeps the walk off the end of the stack. */
export const DEPTH_MAX = 256;

/**
 * The value with the rules applied; what no rule touches is shared with the input, which stays as it
 * is. One walk for all rules, work bounded by nodes × steps. Throws a `RangeError` beyond DEPTH_MAX.
 */
export function scrub(payload: Record<string, unknown>, rules: readonly Rule[]): Record<string, unknown> {
  return walk(
    payload,
    rules.map((rule) => ({ rule, index: 0 })),
    0,
  ) as Record<string, unknown>;
}

function walk(value: unknown, states: readonly State[], depth: number): unknown {
  if (states.length === 0 || !isContainer(value)) return value;
  if (depth >= DEPTH_MAX) throw new RangeError("the payload is nested too deeply");
  return Array.isArray(value) ? walkArray(value, states, depth) : walkObject(value, states, depth);
}

/** Numbers that a double can't hold are objects too (raw JSON): they are values, not containers. */
function isContainer(value: unknown): value is unknown[] | Record<string, unknown> {
  return typeof value === "object" && value !== null && !isRawJSON(value);
}

// ES2025 "JSON.parse source text access"; the type library does not have it yet.
const { isRawJSON } = JSON as unknown as { isRawJSON(this: void, value: unknown): boolean };

function walkArray(array: readonly unknown[], states: readonly State[], depth: number): unknown {
  let copy: unknown[] | undefined;
  let dropped = false;
  for (let i = 0; i < array.length; i++) {
    const result = visit({ value: array[i], key: String(i), inArray: true }, states, depth);
    if (result === array[i]) continue;
    copy ??= [...array];
    copy[i] = result;
    dropped ||= result === DROPPED;
  }
  if (copy === undefined) return array;
  return dropped ? copy.filter((element) => element !== DROPPED) : copy;
}

function walkObject(object: Readonly<Record<string, unknown>>, states: readonly State[], depth: number): unknown {
  let copy: Record<string, unknown> | undefined;
  for (const key of Object.keys(object)) {
    const result = visit({ value: object[key], key, inArray: false }, states, depth);
    if (result === object[key]) continue;
    // Spread makes each name an own property, so that a later assignment to `__proto__` is harmless.
    copy ??= { ...object };
    if (result === DROPPED) delete copy[key];
    else copy[key] = result;
  }
  return copy ?? object;
}

const DROPPED = Symbol("dropped");

interface Member {
  readonly value: unknown;
  readonly key: string;
  readonly inArray: boolean;
}

function visit(member: Member, states: readonly State[], depth: number): unknown {
  const next: State[] = [];
  let mask: string | undefined;
  for (const state of states) {
    for (const reached of advance(state, member)) {
      if (reached.index < reached.rule.steps.length) {
        if (!next.some((known) => known.rule === reached.rule && known.index === reached.index)) next.push(reached);
        continue;
      }
      // Dropping beats masking, whatever the order of the rules: less is left behind.
      if (reached.rule.action.type === "drop") return DROPPED;
      mask ??= reached.rule.action.with;
    }
  }
  return mask ?? walk(member.value, next, depth + 1);
}

/** Where a rule stands after the member: nowhere, one step on, and for `**` also where it was. */
function* advance({ rule, index }: State, { key, inArray }: Member): Generator<State> {
  const step = rule.steps[index] as Step;
  if (step.type !== "anywhere") {
    if (takes(step, key, inArray)) yield { rule, index: index + 1 };
    return;
  }
  yield { rule, index };
  yield* advance({ rule, index: index + 1 }, { key, inArray, value: undefined });
}
