import type { PluginDefinition } from "../plugins/contract.ts";
import { jsonSchemaOf, schemaAt } from "./json-schema.ts";
import type { LoadedConfig } from "./parse.ts";
import { valueAt } from "./problems.ts";
import { ConfigSchema } from "./schema.ts";
import type { Path } from "./source.ts";

const MASK = "[secret]";

/** A configuration's text as it was written, its secrets masked. What stands there as `${…}` is no secret. */
export function maskedText({ source, secrets }: LoadedConfig, plugins: readonly PluginDefinition[]): string {
  const value = source.toValue();
  let text = "";
  let at = 0;
  for (const { path, from, to } of source.strings()) {
    const written = source.text.slice(from, to);
    if (/^(["']?)\$\{[^}]+\}\1$/.test(written) || !isSecret(value, path, plugins)) continue;
    text += `${source.text.slice(at, from)}"${MASK}"`;
    at = to;
  }
  text += source.text.slice(at);
  // Wherever else they stand, in a comment say; and those of plugins that are not in the catalog.
  for (const secret of secrets) text = text.replaceAll(secret, MASK);
  return text;
}

function isSecret(value: unknown, path: Path, plugins: readonly PluginDefinition[]): boolean {
  if (schemaAt(jsonSchemaOf(ConfigSchema), path)?.secret === true) return true;
  const config = path.indexOf("config");
  if (config === -1) return false;
  const name = valueAt(value, [...path.slice(0, config), "name"]);
  const schema = plugins.find((plugin) => plugin.name === name)?.config;
  return schema !== undefined && schemaAt(jsonSchemaOf(schema), path.slice(config + 1))?.secret === true;
}
