import { z } from "zod";
import type { ZodType } from "zod";
import type { PluginDefinition } from "../plugins/contract.ts";
import { ConfigSchema } from "./schema.ts";
import type { Path } from "./source.ts";

/** The part of JSON Schema that documentation, `explain` and suggestions read. */
export interface JsonSchema {
  type?: string | string[];
  description?: string;
  default?: unknown;
  /** Set by `.meta({ secret: true })`. */
  secret?: boolean;
  properties?: Record<string, JsonSchema>;
  required?: string[];
  items?: JsonSchema;
  additionalProperties?: boolean | JsonSchema;
  anyOf?: JsonSchema[];
  oneOf?: JsonSchema[];
  allOf?: JsonSchema[];
  enum?: unknown[];
  const?: unknown;
  [keyword: string]: unknown;
}

/** What a user may write, as JSON Schema. Types that JSON Schema can't say become "anything". */
export function jsonSchemaOf(schema: ZodType): JsonSchema {
  const { "~standard": _, $schema: __, ...rest } = z.toJSONSchema(schema, { io: "input", unrepresentable: "any" });
  return rest as JsonSchema;
}

/** The whole file as JSON Schema, with each plugin's own options under its name: for editors. */
export function fileJsonSchema(plugins: readonly PluginDefinition[]): JsonSchema {
  const schema = jsonSchemaOf(ConfigSchema);
  const uses = schemaAt(schema, ["tenants", 0, "plugins"])?.properties;
  const own = uses?.sinks?.items?.properties?.transform;
  for (const [kind, list] of [
    ["transform", uses?.transform] as const,
    ["transform", own] as const,
    ["sink", uses?.sinks] as const,
  ]) {
    if (list?.items !== undefined) {
      addPluginOptions(
        list.items,
        plugins.filter((plugin) => plugin.kind === kind),
      );
    }
  }
  return { $schema: "https://json-schema.org/draft/2020-12/schema", title: "PulseGate configuration", ...schema };
}

function addPluginOptions(use: JsonSchema, plugins: readonly PluginDefinition[]): void {
  if (use.properties?.name === undefined || plugins.length === 0) return;
  // A path or a package has a slash or a hyphen, a built-in plugin has neither.
  const others = { type: "string", pattern: "[-/]" };
  use.properties.name = { ...use.properties.name, anyOf: [{ enum: plugins.map((plugin) => plugin.name) }, others] };
  use.allOf = plugins.map((plugin) => ({
    if: { properties: { name: { const: plugin.name } }, required: ["name"] },
    // What a plugin requires may come from elsewhere (`--database-url`), so an editor does not insist.
    // oxlint-disable-next-line unicorn/no-thenable -- JSON Schema's keyword; nobody awaits a schema
    then: { properties: { config: optionsOf(plugin) } },
  }));
}

function optionsOf(plugin: PluginDefinition): JsonSchema {
  if (plugin.config === undefined) return { type: "object", additionalProperties: false };
  const { required: _, ...options } = jsonSchemaOf(plugin.config);
  return options;
}

/** The schema of the value at a path, through lists, mappings and alternatives; undefined where there is none. */
export function schemaAt(schema: JsonSchema, path: Path): JsonSchema | undefined {
  const [part, ...rest] = path;
  if (part === undefined) return schema;
  const inner = typeof part === "number" ? schema.items : (schema.properties?.[part] ?? freeForm(schema));
  if (inner !== undefined) return schemaAt(inner, rest);
  for (const alternative of [...(schema.anyOf ?? []), ...(schema.oneOf ?? []), ...(schema.allOf ?? [])]) {
    const found = schemaAt(alternative, path);
    if (found !== undefined) return found;
  }
  return undefined;
}

function freeForm(schema: JsonSchema): JsonSchema | undefined {
  return typeof schema.additionalProperties === "object" ? schema.additionalProperties : undefined;
}

/** Keys that may stand in the mapping at a path. */
export function keysAt(schema: JsonSchema, path: Path): string[] {
  const at = schemaAt(schema, path);
  if (at === undefined) return [];
  const own = Object.keys(at.properties ?? {});
  if (own.length > 0) return own;
  return [...new Set([...(at.anyOf ?? []), ...(at.oneOf ?? [])].flatMap((one) => Object.keys(one.properties ?? {})))];
}
