import type { JsonSchema } from "../../config/json-schema.ts";
import { settingsOf } from "../../config/settings.ts";
import { code } from "./markdown.ts";

export const SETTING_COLUMNS = ["setting", "value", "default", "what it does"];

/** One row for each setting of a schema, those within groups and lists after it under their full names. */
export function settingRows(schema: JsonSchema): string[][] {
  return settingsOf(schema).map(({ name, schema: inner, isRequired, isGroup }) => {
    const given = isRequired ? "required" : isGroup ? "" : defaultOf(inner);
    const description = `${inner.secret === true ? "Secret. " : ""}${inner.description ?? ""}`;
    return [code(name), isGroup ? "" : typeOf(inner), given, description];
  });
}

/** What may be written there, for people. */
function typeOf(schema: JsonSchema): string {
  if (schema.const !== undefined) return code(JSON.stringify(schema.const).replaceAll('"', ""));
  if (schema.enum !== undefined)
    return schema.enum.map((value) => code(JSON.stringify(value).replaceAll('"', ""))).join(" ");
  const alternatives = schema.anyOf ?? schema.oneOf;
  if (alternatives !== undefined) return [...new Set(alternatives.map(typeOf))].join(" or ");
  if (schema.type === "integer" || schema.type === "number") return numberWords(schema);
  if (schema.type === "string") return stringWords(schema);
  if (schema.type === "array") return schema.items === undefined ? "list" : `list of ${typeOf(schema.items)}`;
  return schema.type === "object" ? "mapping" : String(schema.type ?? "anything");
}

function numberWords({ type, minimum, maximum }: JsonSchema): string {
  const what = type === "integer" ? "whole number" : "number";
  const bounded = (bound: unknown): bound is number =>
    typeof bound === "number" && Math.abs(bound) < Number.MAX_SAFE_INTEGER;
  if (bounded(minimum) && bounded(maximum)) return `${what} ${minimum}–${maximum}`;
  if (bounded(minimum)) return `${what} from ${minimum}`;
  return bounded(maximum) ? `${what} up to ${maximum}` : what;
}

function stringWords({ pattern }: JsonSchema): string {
  if (typeof pattern !== "string") return "text";
  if (pattern.includes("ms|s|m|h|d")) return pattern.includes("\\.\\.") ? "two times, `200ms..1m`" : "time";
  return pattern.includes("KiB") ? "size" : "text";
}

function defaultOf(schema: JsonSchema): string {
  if (schema.default === undefined) return "";
  return code(typeof schema.default === "string" ? schema.default : JSON.stringify(schema.default));
}
