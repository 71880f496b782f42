import { type Budget, charSteps, Fault, isNumber, Moment, Span, typeName, type Value } from "./condition-values.ts";

export type ArithmeticOperator = "+" | "-" | "*" | "/" | "%";

const INT_MIN = -(2n ** 63n);
const INT_MAX = 2n ** 63n - 1n;

/** The result of an operator. Two whole numbers give an exact one; a double on either side gives a double. */
export function arithmetic(op: ArithmeticOperator, a: Value, b: Value, budget: Budget): Value | Fault {
  if (typeof a === "bigint" && typeof b === "bigint") return integers(op, a, b);
  if (isNumber(a) && isNumber(b)) return doubles(op, Number(a), Number(b));
  if (op === "+" && typeof a === "string" && typeof b === "string") {
    budget.spend(charSteps(a.length + b.length));
    return a + b;
  }
  if (op === "+" && Array.isArray(a) && Array.isArray(b)) {
    budget.spend(a.length + b.length);
    return [...(a as unknown[]), ...(b as unknown[])];
  }
  return times(op, a, b) ?? new Fault("wrong_type", `there is no ${typeName(a)} ${op} ${typeName(b)}`);
}

function integers(op: ArithmeticOperator, a: bigint, b: bigint): bigint | Fault {
  if (b === 0n && (op === "/" || op === "%")) return new Fault("bad_value", "division by zero");
  const result = op === "+" ? a + b : op === "-" ? a - b : op === "*" ? a * b : op === "/" ? a / b : a % b;
  if (result >= INT_MIN && result <= INT_MAX) return result;
  return new Fault("bad_value", "the result does not fit into 64 bits");
}

function doubles(op: ArithmeticOperator, a: number, b: number): number | Fault {
  if (op === "%") return b === 0 ? new Fault("bad_value", "division by zero") : a % b;
  return op === "+" ? a + b : op === "-" ? a - b : op === "*" ? a * b : a / b;
}

function times(op: ArithmeticOperator, a: Value, b: Value): Moment | Span | undefined {
  if (op !== "+" && op !== "-") return undefined;
  if (a instanceof Moment && b instanceof Moment) return op === "-" ? new Span(a.ms - b.ms) : undefined;
  if (b instanceof Span && (a instanceof Moment || a instanceof Span)) {
    const ms = op === "+" ? a.ms + b.ms : a.ms - b.ms;
    return a instanceof Moment ? new Moment(ms) : new Span(ms);
  }
  return op === "+" && a instanceof Span && b instanceof Moment ? new Moment(a.ms + b.ms) : undefined;
}
