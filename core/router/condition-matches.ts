import type { ASTNode } from "@marcbachmann/cel-js";
import { RE2JS } from "re2js";
import { type Evaluate, Unsupported } from "./condition-frame.ts";
import { Fault, typeName } from "./condition-values.ts";

const PATTERN_CHARS_MAX = 1_000;
/** At worst each character is held against each instruction of the pattern; so many of that in a step. */
const INSTRUCTIONS_PER_STEP = 8;

/**
 * `text.matches("pattern")`: anywhere in the text, by RE2, whose time grows with the text and never
 * with its backtracking. The pattern stands in the expression: one from a payload could not be checked.
 */
export function compileMatches(text: Evaluate, pattern: ASTNode): Evaluate {
  const source: unknown = pattern.args;
  if (pattern.op !== "value" || typeof source !== "string")
    throw new Unsupported(pattern, "matches takes a pattern in quotes, not one that is worked out");
  const regex = compilePattern(pattern, source);
  const stepsPerChar = regex.programSize() / INSTRUCTIONS_PER_STEP;
  return (frame) => {
    const value = text(frame);
    if (value instanceof Fault) return value;
    if (typeof value !== "string") return new Fault("wrong_type", `matches does not take a ${typeName(value)}`);
    frame.budget.spend(value.length * stepsPerChar);
    return regex.test(value);
  };
}

function compilePattern(node: ASTNode, pattern: string): RE2JS {
  if (pattern.length > PATTERN_CHARS_MAX)
    throw new Unsupported(node, `a pattern has at most ${PATTERN_CHARS_MAX} characters`);
  try {
    return RE2JS.compile(pattern);
  } catch (error) {
    const reason = error instanceof Error ? error.message.replace(/^error parsing regexp: /, "") : String(error);
    throw new Unsupported(node, `not a pattern of RE2: ${reason}`);
  }
}
