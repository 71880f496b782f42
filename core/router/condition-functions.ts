import { timestampFault } from "../canonical/timestamp.ts";
import {
  type Budget,
  charSteps,
  Fault,
  isMap,
  isNumber,
  Moment,
  Span,
  typeName,
  type Value,
} from "./condition-values.ts";

type Function1 = (value: Value, budget: Budget) => Value | Fault;
type Method = (receiver: Value, argument: Value, budget: Budget) => Value | Fault;

/** `name(value)`. What is not here, no condition may call. */
export const FUNCTIONS: Readonly<Record<string, Function1>> = {
  size,
  string: toText,
  int: toInt,
  double: toDouble,
  timestamp: toMoment,
  duration: toSpan,
  dyn: (value) => value,
};

/** `value.name(argument)` and `value.name()`; `matches` and the macros are the compiler's. */
export const METHODS: Readonly<Record<string, Method>> = {
  size: (value, _none, budget) => size(value, budget),
  contains,
  startsWith: onTexts((text, start) => text.startsWith(start)),
  endsWith: onTexts((text, end) => text.endsWith(end)),
  lowerAscii: onText((text) => (ASCII.test(text) ? text.toLowerCase() : text.replace(/[A-Z]/g, lower))),
  upperAscii: onText((text) => (ASCII.test(text) ? text.toUpperCase() : text.replace(/[a-z]/g, upper))),
  trim: onText((text) => text.trim()),
  getFullYear: onMoment((date) => date.getUTCFullYear()),
  getMonth: onMoment((date) => date.getUTCMonth()),
  getDate: onMoment((date) => date.getUTCDate()),
  getDayOfMonth: onMoment((date) => date.getUTCDate() - 1),
  getDayOfWeek: onMoment((date) => date.getUTCDay()),
  getHours: onTime((date) => date.getUTCHours(), 3_600_000),
  getMinutes: onTime((date) => date.getUTCMinutes(), 60_000),
  getSeconds: onTime((date) => date.getUTCSeconds(), 1_000),
};

const ASCII = /^[\0-\x7f]*$/;
const lower = (letter: string) => letter.toLowerCase();
const upper = (letter: string) => letter.toUpperCase();

/** Characters, elements or members. */
function size(value: Value, budget: Budget): Value | Fault {
  if (typeof value === "string") {
    // Counted one by one: a pair of surrogates is one character.
    budget.spend(charSteps(value.length) * 8);
    let characters = 0;
    for (const _ of value) characters += 1;
    return BigInt(characters);
  }
  if (Array.isArray(value)) return BigInt(value.length);
  if (!isMap(value)) return wrongType("size", value);
  const keys = Object.keys(value).length;
  budget.spend(keys);
  return BigInt(keys);
}

function wrongType(name: string, value: Value): Fault {
  return new Fault("wrong_type", `${name} does not take a ${typeName(value)}`);
}

function toText(value: Value): Value | Fault {
  if (typeof value === "string") return value;
  return isNumber(value) || typeof value === "boolean" ? String(value) : wrongType("string", value);
}

const INT_TEXT = /^-?\d{1,19}$/;
const INT_RANGE = 2 ** 63;

function toInt(value: Value): Value | Fault {
  if (typeof value === "bigint") return value;
  if (typeof value === "number") {
    const isFit = Number.isFinite(value) && Math.abs(value) < INT_RANGE;
    return isFit ? BigInt(Math.trunc(value)) : new Fault("bad_value", "int: the number does not fit into 64 bits");
  }
  if (typeof value === "string")
    return INT_TEXT.test(value) ? BigInt(value) : new Fault("bad_value", "int: the text is no whole number");
  return value instanceof Moment ? BigInt(Math.floor(value.ms / 1000)) : wrongType("int", value);
}

const DOUBLE_TEXT = /^-?\d{1,400}(\.\d{1,400})?([eE][+-]?\d{1,3})?$/;

function toDouble(value: Value): Value | Fault {
  if (isNumber(value)) return Number(value);
  if (typeof value !== "string") return wrongType("double", value);
  return DOUBLE_TEXT.test(value) ? Number(value) : new Fault("bad_value", "double: the text is no number");
}

function toMoment(value: Value): Value | Fault {
  if (value instanceof Moment) return value;
  if (typeof value === "bigint") return new Moment(Number(value) * 1000);
  if (typeof value !== "string") return wrongType("timestamp", value);
  const fault = timestampFault(value);
  if (fault !== undefined) return new Fault("bad_value", `timestamp: ${fault}`);
  // A leap second is the same moment as the second after it, as in POSIX time.
  const leap = value.slice(17, 19) === "60";
  const ms = Date.parse((leap ? `${value.slice(0, 17)}59${value.slice(19)}` : value).toUpperCase());
  return new Moment(leap ? ms + 1000 : ms);
}

const UNIT_MS: Readonly<Record<string, number>> = { h: 3_600_000, m: 60_000, s: 1_000, ms: 1, us: 1e-3, ns: 1e-6 };
const SPAN_TEXT = /^-?(\d{1,15}(\.\d{1,9})?(h|ms|m|s|us|ns))+$/;
const SPAN_PART = /(\d+(?:\.\d+)?)(h|ms|m|s|us|ns)/g;

function toSpan(value: Value): Value | Fault {
  if (value instanceof Span) return value;
  if (typeof value !== "string") return wrongType("duration", value);
  if (value.length > 64 || !SPAN_TEXT.test(value))
    return new Fault("bad_value", 'duration: expected a text like "90s", "1h30m" or "200ms"');
  let ms = 0;
  for (const [, number, unit = ""] of value.matchAll(SPAN_PART)) ms += Number(number) * (UNIT_MS[unit] ?? 0);
  return new Span(value.startsWith("-") ? -ms : ms);
}

/** Up to so long, the engine's search takes time in proportion to the text whatever the two texts are. */
const NEEDLE_LINEAR_MAX = 250;

function contains(text: Value, needle: Value, budget: Budget): Value | Fault {
  if (typeof text !== "string") return wrongType("contains", text);
  if (typeof needle !== "string") return wrongType("contains", needle);
  const isLinear = needle.length <= NEEDLE_LINEAR_MAX;
  budget.spend(charSteps(isLinear ? text.length : text.length * needle.length));
  return text.includes(needle);
}

function onTexts(test: (text: string, argument: string) => boolean): Method {
  return (text, argument, budget) => {
    if (typeof text !== "string") return wrongType("the function", text);
    if (typeof argument !== "string") return wrongType("the function", argument);
    budget.spend(charSteps(Math.min(text.length, argument.length)));
    return test(text, argument);
  };
}

function onText(change: (text: string) => string): Method {
  return (text, _none, budget) => {
    if (typeof text !== "string") return wrongType("the function", text);
    // Letter by letter where not all is ASCII.
    budget.spend(charSteps(text.length) * (ASCII.test(text) ? 1 : 64));
    return change(text);
  };
}

function onMoment(part: (date: Date) => number): Method {
  return (value) => (value instanceof Moment ? dated(value, part) : wrongType("the function", value));
}

function onTime(part: (date: Date) => number, unitMs: number): Method {
  return (value) => {
    if (value instanceof Span) return BigInt(Math.trunc(value.ms / unitMs));
    return value instanceof Moment ? dated(value, part) : wrongType("the function", value);
  };
}

function dated(moment: Moment, part: (date: Date) => number): Value | Fault {
  const number = part(new Date(moment.ms));
  return Number.isNaN(number) ? new Fault("bad_value", "the time is out of range") : BigInt(number);
}
