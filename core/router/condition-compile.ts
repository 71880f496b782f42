import type { ASTNode } from "@marcbachmann/cel-js";
import { payloadView } from "../canonical/codec.ts";
import { arithmetic, type ArithmeticOperator } from "./condition-arithmetic.ts";
import { type Evaluate, type Frame, type Scope, Unsupported } from "./condition-frame.ts";
import { FUNCTIONS, METHODS } from "./condition-functions.ts";
import { compileLoop, type LoopName, LOOPS } from "./condition-loops.ts";
import { compileMatches } from "./condition-matches.ts";
import { type Budget, compare, equal, Fault, isMap, typeName, type Value, valueOf } from "./condition-values.ts";

/**
 * Turns a checked expression into closures. They follow CEL, at a bounded cost: whatever goes
 * through data spends from the frame's budget. Throws `Unsupported`.
 */
export function compile(node: ASTNode, scope: Scope): Evaluate {
  switch (node.op) {
    case "value":
      return literal(node, node.args);
    case "id":
      return variable(node, node.args, scope);
    case ".":
      return isEvent(node.args[0], scope) ? eventField(node, node.args[1]) : member(node, scope);
    case "[]":
      return index(node, scope);
    case "list":
      return list(node, scope);
    case "call":
      return call(node, scope);
    case "rcall":
      return methodCall(node, scope);
    case "?:":
      return choice(node, scope);
    case "&&":
      return logical(node, scope, false);
    case "||":
      return logical(node, scope, true);
    case "!_":
      return not(compile(node.args, scope));
    case "-_":
      return negative(node, scope);
    default:
      return binary(node, scope);
  }
}

type NodeOf<T extends ASTNode["op"]> = Extract<ASTNode, { op: T }>;

function literal(node: ASTNode, value: unknown): Evaluate {
  if (value !== null && typeof value === "object")
    throw new Unsupported(node, "bytes and unsigned numbers are of no use here: a payload is JSON");
  return () => value as Value;
}

function variable(node: ASTNode, name: string, scope: Scope): Evaluate {
  const at = scope.lastIndexOf(name);
  if (at < 0)
    throw new Unsupported(
      node,
      name === "event" ? 'name a field of it, like "event.payload"' : `no such name: ${name}`,
    );
  return ({ variables }) => variables[at] as Value | Fault;
}

function isEvent(node: ASTNode, scope: Scope): boolean {
  return node.op === "id" && node.args === "event" && !scope.includes("event");
}

function eventField(node: ASTNode, name: string): Evaluate {
  if (name === "payload") return ({ event }) => valueOf(payloadView(event));
  const missing = missingField(node);
  return ({ event }) => ((event as Readonly<Record<string, unknown>>)[name] as string) ?? missing;
}

function missingField(node: ASTNode): Fault {
  return new Fault("missing_field", `there is no ${textOf(node)}`);
}

function textOf({ input, start, end }: ASTNode): string {
  const text = input.slice(start, end);
  return text.length <= 80 ? text : `${text.slice(0, 79)}…`;
}

function member(node: NodeOf<".">, scope: Scope): Evaluate {
  const object = compile(node.args[0], scope);
  const name = node.args[1];
  const missing = missingField(node);
  return (frame) => memberOf(object(frame), name, missing);
}

/** Only a map's own members: what JavaScript gives to every object is no data. */
function memberOf(object: Value | Fault, name: string, missing: Fault): Value | Fault {
  if (object instanceof Fault) return object;
  if (!isMap(object) || !Object.hasOwn(object, name)) return missing;
  const json = object[name];
  return json === undefined ? missing : valueOf(json);
}

function index(node: NodeOf<"[]">, scope: Scope): Evaluate {
  const missing = missingField(node);
  return strict(node.args, scope, (container, key) => {
    if (!Array.isArray(container)) return typeof key === "string" ? memberOf(container, key, missing) : missing;
    const at = typeof key === "bigint" ? Number(key) : key;
    if (typeof at !== "number") return new Fault("wrong_type", `a list has no index of type ${typeName(key)}`);
    const json: unknown = container[at];
    return json === undefined ? missing : valueOf(json);
  });
}

/** Evaluates the operands, and gives the first fault instead of a result. */
function strict(
  nodes: readonly ASTNode[],
  scope: Scope,
  apply: (a: Value, b: Value, budget: Budget) => Value | Fault,
): Evaluate {
  const [first, second] = nodes.map((node) => compile(node, scope)) as [Evaluate, Evaluate | undefined];
  return (frame) => {
    const a = first(frame);
    if (a instanceof Fault) return a;
    const b = second === undefined ? null : second(frame);
    return b instanceof Fault ? b : apply(a, b, frame.budget);
  };
}

function list(node: NodeOf<"list">, scope: Scope): Evaluate {
  const items = node.args.map((item) => compile(item, scope));
  const evaluate: Evaluate = (frame) => {
    const values: Value[] = [];
    for (const item of items) {
      const value = item(frame);
      if (value instanceof Fault) return value;
      values.push(value);
    }
    return values;
  };
  return constant(
    node,
    node.args.every((item) => item.op === "value"),
    evaluate,
  );
}

/** What depends on no event is worked out once, and is wrong once and for all. */
function constant(node: ASTNode, isConstant: boolean, evaluate: Evaluate): Evaluate {
  if (!isConstant) return evaluate;
  const value = evaluate(NO_FRAME);
  if (value instanceof Fault) throw new Unsupported(node, value.message);
  return () => value;
}

const NO_FRAME = { budget: { spend: () => {} }, variables: [] } as unknown as Frame;

function call(node: NodeOf<"call">, scope: Scope): Evaluate {
  const [name, args] = node.args;
  if (name === "has") return has(args[0] as NodeOf<".">, scope);
  const apply = Object.hasOwn(FUNCTIONS, name) ? FUNCTIONS[name] : undefined;
  if (apply === undefined || args.length !== 1) throw unknownFunction(node, name);
  const evaluate = strict(args, scope, (value, _none, budget) => apply(value, budget));
  return constant(node, args[0]?.op === "value", evaluate);
}

function unknownFunction(node: ASTNode, name: string): Unsupported {
  const known = [...Object.keys(FUNCTIONS), "has", ...Object.keys(METHODS), "matches", ...LOOPS];
  return new Unsupported(node, `conditions have no "${name}" of this form; they have ${known.join(", ")}`);
}

function has(node: NodeOf<".">, scope: Scope): Evaluate {
  const name = node.args[1];
  const isField = isEvent(node.args[0], scope);
  const object: Evaluate = isField ? ({ event }) => event : compile(node.args[0], scope);
  return (frame) => {
    const value = object(frame);
    if (value instanceof Fault) return value;
    if (isField && name === "payload") return true;
    return isMap(value) && Object.hasOwn(value, name) && value[name] !== undefined;
  };
}

function methodCall(node: NodeOf<"rcall">, scope: Scope): Evaluate {
  const [name, receiver, args] = node.args;
  if (isLoop(name)) return compileLoop({ name, receiver, args, scope, compile });
  if (name === "matches" && args.length === 1) return compileMatches(compile(receiver, scope), args[0] as ASTNode);
  const apply = Object.hasOwn(METHODS, name) ? METHODS[name] : undefined;
  if (apply === undefined || args.length > 1) throw unknownFunction(node, name);
  return strict([receiver, ...args], scope, apply);
}

function isLoop(name: string): name is LoopName {
  return (LOOPS as readonly string[]).includes(name);
}

function choice(node: NodeOf<"?:">, scope: Scope): Evaluate {
  const [condition, yes, no] = node.args.map((arg) => compile(arg, scope)) as [Evaluate, Evaluate, Evaluate];
  return (frame) => {
    const value = condition(frame);
    if (value === true) return yes(frame);
    return value === false ? no(frame) : notBool(value);
  };
}

function notBool(value: Value | Fault): Fault {
  return value instanceof Fault ? value : new Fault("wrong_type", `a ${typeName(value)} is not true or false`);
}

/** As CEL has it: the side that decides by itself makes up for a fault of the other. */
function logical(node: NodeOf<"&&" | "||">, scope: Scope, decisive: boolean): Evaluate {
  const left = compile(node.args[0], scope);
  const right = compile(node.args[1], scope);
  return (frame) => {
    const a = left(frame);
    if (a === decisive) return a;
    const b = right(frame);
    if (b === decisive) return b;
    if (typeof a !== "boolean") return notBool(a);
    return typeof b === "boolean" ? b : notBool(b);
  };
}

function not(operand: Evaluate): Evaluate {
  return (frame) => {
    const value = operand(frame);
    return typeof value === "boolean" ? !value : notBool(value);
  };
}

function negative(node: NodeOf<"-_">, scope: Scope): Evaluate {
  const evaluate = strict([node.args], scope, (value) => {
    if (typeof value === "bigint" || typeof value === "number") return -value;
    return new Fault("wrong_type", `a ${typeName(value)} has no negative`);
  });
  return constant(node, node.args.op === "value", evaluate);
}

function binary(node: ASTNode, scope: Scope): Evaluate {
  const operands = node.args as [ASTNode, ASTNode];
  switch (node.op) {
    case "==":
      return strict(operands, scope, (a, b, budget) => equal(a, b, budget));
    case "!=":
      return strict(operands, scope, (a, b, budget) => !equal(a, b, budget));
    case "<":
      return ordered(operands, scope, (order) => order < 0);
    case "<=":
      return ordered(operands, scope, (order) => order <= 0);
    case ">":
      return ordered(operands, scope, (order) => order > 0);
    case ">=":
      return ordered(operands, scope, (order) => order >= 0);
    case "in":
      return strict(operands, scope, isIn);
    case "+":
    case "-":
    case "*":
    case "/":
    case "%": {
      const op: ArithmeticOperator = node.op;
      return strict(operands, scope, (a, b, budget) => arithmetic(op, a, b, budget));
    }
    default:
      throw new Unsupported(node, `conditions have no ${node.op === "map" ? "map literals" : node.op}`);
  }
}

function ordered(operands: readonly ASTNode[], scope: Scope, test: (order: number) => boolean): Evaluate {
  return strict(operands, scope, (a, b, budget) => {
    const order = compare(a, b, budget);
    if (order !== undefined) return test(order);
    return new Fault("wrong_type", `a ${typeName(a)} and a ${typeName(b)} have no order`);
  });
}

function isIn(value: Value, container: Value, budget: Budget): boolean | Fault {
  if (Array.isArray(container)) {
    return container.some((item) => {
      budget.spend(1);
      return equal(value, valueOf(item), budget);
    });
  }
  if (!isMap(container)) return new Fault("wrong_type", `there is no "in" for a ${typeName(container)}`);
  return typeof value === "string" && Object.hasOwn(container, value) && container[value] !== undefined;
}
