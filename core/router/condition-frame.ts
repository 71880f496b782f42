import type { ASTNode } from "@marcbachmann/cel-js";
import type { CanonicalEvent } from "../canonical/event.ts";
import type { Budget, Fault, Value } from "./condition-values.ts";

/** One evaluation under way. */
export interface Frame {
  readonly event: CanonicalEvent;
  readonly budget: Budget;
  /** Values of the macros' variables, by nesting. */
  readonly variables: (Value | Fault)[];
}

export type Evaluate = (frame: Frame) => Value | Fault;

/** The macros' variables that are in scope, outermost first. */
export type Scope = readonly string[];

export type Compile = (node: ASTNode, scope: Scope) => Evaluate;

/** The expression uses something that conditions do not have. */
export class Unsupported extends Error {
  readonly node: ASTNode;
  constructor(node: ASTNode, message: string) {
    super(message);
    this.node = node;
  }
}
