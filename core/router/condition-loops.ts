import type { ASTNode } from "@marcbachmann/cel-js";
import type { Compile, Evaluate, Frame, Scope } from "./condition-frame.ts";
import { Fault, isMap, typeName, type Value, valueOf } from "./condition-values.ts";

/** CEL's macros over a list, or over the names of a map. */
export const LOOPS = ["all", "exists", "exists_one", "filter", "map"] as const;
export type LoopName = (typeof LOOPS)[number];

interface Loop {
  readonly name: LoopName;
  readonly receiver: ASTNode;
  /** The variable, then the predicate; `map` has the result last, and may have a filter before it. */
  readonly args: readonly ASTNode[];
  readonly scope: Scope;
  readonly compile: Compile;
}

export function compileLoop({ name, receiver, args, scope, compile }: Loop): Evaluate {
  const range = compile(receiver, scope);
  const inner = [...scope, (args[0] as Variable).args];
  const [first, second] = args.slice(1).map((arg) => compile(arg, inner)) as [Evaluate, Evaluate | undefined];
  // Each turn costs its body, so that nested loops pay for each other.
  const steps = args.slice(1).reduce((sum, arg) => sum + nodesOf(arg), 1);
  const body: Body = { first, second, at: scope.length, steps };
  const run = name === "all" || name === "exists" ? quantifier(body, name === "exists") : collector(name, body);
  return (frame) => {
    const value = range(frame);
    if (value instanceof Fault) return value;
    if (Array.isArray(value)) return run(frame, value);
    if (!isMap(value)) return new Fault("wrong_type", `${name} does not go through a ${typeName(value)}`);
    const keys = Object.keys(value);
    frame.budget.spend(keys.length);
    return run(frame, keys);
  };
}

type Variable = Extract<ASTNode, { op: "id" }>;

interface Body {
  readonly first: Evaluate;
  readonly second: Evaluate | undefined;
  /** Where the variable lies in the frame. */
  readonly at: number;
  readonly steps: number;
}

type Run = (frame: Frame, items: readonly unknown[]) => Value | Fault;

/** The nodes of an expression; macros' variables count as well, which does no harm. */
function nodesOf(node: unknown): number {
  if (Array.isArray(node)) return node.reduce((sum: number, one) => sum + nodesOf(one), 0);
  if (node === null || typeof node !== "object" || !("op" in node)) return 0;
  return 1 + nodesOf((node as ASTNode).args);
}

/** `exists` is decided by one true, `all` by one false, whatever fault the others have. */
function quantifier({ first: test, at, steps }: Body, decisive: boolean): Run {
  return (frame, items) => {
    let fault: Fault | undefined;
    for (const item of items) {
      frame.budget.spend(steps);
      frame.variables[at] = valueOf(item);
      const value = test(frame);
      if (value === decisive) return decisive;
      if (value !== !decisive) fault ??= faultOf(value);
    }
    return fault ?? !decisive;
  };
}

function faultOf(value: Value | Fault): Fault {
  return value instanceof Fault ? value : new Fault("wrong_type", `a ${typeName(value)} is not true or false`);
}

function collector(name: LoopName, { first, second, at, steps }: Body): Run {
  const test = name === "map" && second === undefined ? undefined : first;
  const result = name === "map" ? (second ?? first) : undefined;
  return (frame, items) => {
    const kept: Value[] = [];
    for (const item of items) {
      frame.budget.spend(steps);
      const value = valueOf(item);
      frame.variables[at] = value;
      const isKept = test === undefined ? true : test(frame);
      if (typeof isKept !== "boolean") return faultOf(isKept);
      if (!isKept) continue;
      const mapped = result === undefined ? value : result(frame);
      if (mapped instanceof Fault) return mapped;
      kept.push(mapped);
    }
    return name === "exists_one" ? kept.length === 1 : kept;
  };
}
