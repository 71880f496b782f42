import { stringify } from "yaml";
import type { JsonSchema } from "./json-schema.ts";
import type { PluginFacts } from "./plugins.ts";

/** A tenant that uses the plugin, as YAML, with what it requires and nothing else. */
export function exampleOf(plugin: PluginFacts): string {
  const config = optionsOf(plugin.schema);
  const use = {
    name: plugin.module?.source ?? plugin.name,
    ...(Object.keys(config).length === 0 ? {} : { config }),
  };
  const list = plugin.kind === "sink" ? "sinks" : "transform";
  return stringify({ tenants: [{ id: "demo", plugins: { [list]: [use] } }] }, { lineWidth: 0 }).trimEnd();
}

/** The options of that example: what is required, and what has an example of its own. */
export function optionsOf(schema: JsonSchema | undefined): Record<string, unknown> {
  const { properties = {}, required = [] } = schema ?? {};
  const shown = Object.entries(properties).filter(
    ([name, option]) => option["examples"] !== undefined || (required.includes(name) && option.default === undefined),
  );
  return Object.fromEntries(shown.map(([name, option]) => [name, valueOf(option, name)]));
}

/** The schema's own example, or the plainest value of its type. */
function valueOf(schema: JsonSchema, name: string): unknown {
  const { examples, enum: choices, const: only } = schema as JsonSchema & { examples?: unknown[] };
  const given = examples?.[0] ?? only ?? choices?.[0];
  if (given !== undefined) return given;
  const inner = schema.anyOf?.[0] ?? schema.oneOf?.[0];
  if (inner !== undefined && schema.type === undefined) return valueOf(inner, name);
  switch (Array.isArray(schema.type) ? schema.type[0] : schema.type) {
    case "number":
    case "integer":
      return schema["minimum"] ?? 1;
    case "boolean":
      return true;
    case "array":
      return schema.items === undefined ? [] : [valueOf(schema.items, name)];
    case "object":
      return optionsOf(schema);
    default:
      return schema["format"] === "uri" ? "https://example.org/" : name;
  }
}
