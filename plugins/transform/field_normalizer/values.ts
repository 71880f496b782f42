import { spelledNumber } from "../../../core/canonical/payload-text.ts";
import { exactNumber, numberText } from "../../contract.ts";
import type { Rule } from "./config.ts";
import { converted, integerText, jsonNumber, scaled } from "./decimal.ts";
import { type Count, rfc3339 } from "./timestamp.ts";

/** A value that a rule can't make anything of. The words hold nothing of the value. */
export class Unfit extends Error {}

/**
 * What a rule makes of one value; the value itself where there is nothing to do. Throws `Unfit`.
 * `ownSpellings`: the payload's numbers are written as they came.
 */
export function normalized(value: unknown, rule: Rule, ownSpellings: boolean): unknown {
  switch (rule.action) {
    case "cast":
      return cast(value, rule.to as string, ownSpellings);
    case "case":
      if (typeof value !== "string") return value;
      return rule.to === "upper" ? value.toUpperCase() : value.toLowerCase();
    case "trim":
      return typeof value === "string" ? value.trim() : value;
    case "timestamp":
      return known(
        rfc3339(textOf(value).trim(), { count: (rule.from ?? "auto") as Count, offset: rule.offset }),
        "not a time",
      );
    case "unit":
      return inUnit(textOf(value), rule);
    case "scale":
      return number(scaled(textOf(value).trim(), rule.by as string), "not a number");
    default:
      return value;
  }
}

function cast(value: unknown, to: string, ownSpellings: boolean): unknown {
  if (to === "boolean") return typeof value === "boolean" ? value : truth(textOf(value).trim().toLowerCase());
  if (to === "string") return typeof value === "boolean" ? String(value) : textOf(value);
  const text = textOf(value).trim();
  if (to === "integer") {
    const integer = known(integerText(text), "not an integer");
    // Else `12.0` would be written as it came: to JavaScript it is 12 already.
    return ownSpellings && typeof value === "number" ? spelledNumber(integer) : number(integer, "too large");
  }
  return typeof value === "string" ? number(jsonNumber(text), "not a number") : value;
}

const TRUE = ["true", "yes", "on", "1"];
const FALSE = ["false", "no", "off", "0"];

function truth(text: string): boolean {
  if (TRUE.includes(text)) return true;
  if (FALSE.includes(text)) return false;
  throw new Unfit("neither true nor false");
}

const AMOUNT = /^\s*([+-]?[\d.]+(?:[eE][+-]?\d+)?)\s*([A-Za-z]*)\s*$/;

function inUnit(text: string, { from, to }: Rule): unknown {
  const [, amount = "", own = ""] = AMOUNT.exec(text) ?? [];
  const unit = own === "" ? from : own;
  if (unit === undefined) throw new Unfit('a number without a unit, and the rule has no "from"');
  return number(converted(amount, unit, to as string), `no amount that can be told in ${to}`);
}

/** A text, or a number with all its digits. */
function textOf(value: unknown): string {
  return known(typeof value === "string" ? value : numberText(value), "neither text nor number");
}

/** A number where a double holds it, else raw JSON with every digit. */
function number(text: string | undefined, words: string): unknown {
  return known(text === undefined ? undefined : exactNumber(text), words);
}

function known<T>(value: T | undefined, words: string): T {
  if (value === undefined) throw new Unfit(words);
  return value;
}
