import { type ASTNode, Environment, type ParseResult } from "@marcbachmann/cel-js";
import type { CanonicalEvent } from "../canonical/event.ts";
import { compile } from "./condition-compile.ts";
import { type Evaluate, Unsupported } from "./condition-frame.ts";
import { Budget, Fault, type FaultCode, TooCostly } from "./condition-values.ts";

/** A CEL expression over an event, compiled: see docs/routing.md for what it may say. */
export interface Condition {
  readonly source: string;
  /** Whether the expression is true of the event; an expression that has no result is not. Never throws. */
  matches(event: CanonicalEvent): boolean;
  /** The same, with the reason when there is no result. */
  evaluate(event: CanonicalEvent): ConditionResult;
}

export interface ConditionResult {
  readonly matched: boolean;
  readonly fault?: { readonly code: FaultCode; readonly message: string };
}

/** The expression is not valid; line and column count from 1 within it. */
export class ConditionError extends Error {
  readonly line: number;
  readonly column: number;
  constructor(message: string, place: { readonly line: number; readonly column: number }) {
    super(message);
    this.name = "ConditionError";
    this.line = place.line;
    this.column = place.column;
  }
}

const SOURCE_CHARS_MAX = 10_000;
/** One evaluation ends after so many steps: a few milliseconds, whatever the expression and the payload. */
const STEPS_MAX = 100_000;

/**
 * Compiles a condition: parsed and type-checked by the CEL library, evaluated by closures of our own,
 * because the library's evaluation has no bound. Throws `ConditionError`. The payload is parsed only
 * when an evaluation comes to look at it, and its bytes stay what the sink gets.
 */
export function compileCondition(source: string): Condition {
  const root = checked(source);
  const run = compiled(root, source);
  const evaluate = (event: CanonicalEvent): ConditionResult => resultOf(run, event);
  return { source, evaluate, matches: (event) => evaluate(event).matched };
}

function checked(source: string): ASTNode {
  if (source.length > SOURCE_CHARS_MAX) throw errorAt(`more than ${SOURCE_CHARS_MAX} characters`, 0, source);
  if (source.trim() === "") throw errorAt("the condition is empty", 0, source);
  let parsed: ParseResult;
  try {
    parsed = environment.parse(source);
  } catch (error) {
    throw libraryError(error, source);
  }
  const { valid, type, error } = parsed.check();
  if (!valid) throw libraryError(error, source);
  if (type !== "bool" && type !== "dyn") throw errorAt(`the condition is a ${type}, not true or false`, 0, source);
  return parsed.ast;
}

const environment = eventEnvironment();

function eventEnvironment(): Environment {
  const limits = { maxAstNodes: 500, maxDepth: 32, maxListElements: 200, maxMapEntries: 1, maxCallArguments: 3 };
  const text = "string";
  const schema = {
    ...{ event_id: text, tenant_id: text, event_type: text, occurred_at: text, received_at: text, source: text },
    ...{ trace_id: text, idempotency_key: text, payload: "map<string, dyn>" },
  };
  const made = new Environment({ limits }).registerVariable("event", { schema });
  // A payload's numbers are doubles: beside them, a literal need not be written as one.
  for (const op of ["+", "-", "*", "/", "%"]) {
    for (const pair of [`int ${op} double`, `double ${op} int`]) made.registerOperator(pair, () => 0);
  }
  made.registerOperator("double % double", () => 0);
  return made;
}

interface LibraryError {
  readonly code?: string;
  readonly summary?: string;
  readonly message?: string;
  readonly range?: { readonly start: number };
}

function libraryError(error: unknown, source: string): ConditionError {
  const { code, summary, message, range } = error as LibraryError;
  const more = code === "unknown_variable" ? '; a condition sees "event", like event.payload.amount' : "";
  return errorAt(`${summary ?? message ?? "not an expression"}${more}`, range?.start ?? 0, source);
}

function errorAt(message: string, offset: number, source: string): ConditionError {
  const before = source.slice(0, offset);
  const line = before.split("\n").length;
  return new ConditionError(message, { line, column: offset - before.lastIndexOf("\n") });
}

function compiled(root: ASTNode, source: string): Evaluate {
  try {
    return compile(root, []);
  } catch (error) {
    if (error instanceof Unsupported) throw errorAt(error.message, error.node.start, source);
    throw error;
  }
}

function resultOf(run: Evaluate, event: CanonicalEvent): ConditionResult {
  try {
    const value = run({ event, budget: new Budget(STEPS_MAX), variables: [] });
    if (value === true) return MATCHED;
    if (value === false) return NOT_MATCHED;
    return failed(value instanceof Fault ? value : new Fault("wrong_type", "the result is not true or false"));
  } catch (error) {
    if (error instanceof TooCostly) return failed(TOO_COSTLY);
    // A transform's payload may hold anything, also getters that throw.
    return failed(new Fault("bad_value", "the payload can't be read"));
  }
}

const MATCHED: ConditionResult = { matched: true };
const NOT_MATCHED: ConditionResult = { matched: false };
const TOO_COSTLY = new Fault("too_costly", `the condition took more than ${STEPS_MAX} steps on this event`);

function failed(fault: Fault): ConditionResult {
  return { matched: false, fault };
}
