import type { PluginDefinition } from "../plugins/contract.ts";
import type { JsonSchema } from "./json-schema.ts";
import { jsonSchemaOf, schemaAt } from "./json-schema.ts";
import type { LoadedConfig } from "./parse.ts";
import { valueAt } from "./problems.ts";
import { ConfigSchema } from "./schema.ts";
import type { Path } from "./source.ts";

const MASK = "[secret]";

/** A configuration's text as it was written, its secrets masked. What stands there as `${…}` is no secret. */
export function maskedText({ source, secrets }: LoadedConfig, plugins: readonly PluginDefinition[]): string {
  const isSecret = secretsAt(source.toValue(), plugins);
  let text = "";
  let at = 0;
  for (const { path, from, to } of source.strings()) {
    const written = source.text.slice(from, to);
    if (/^(["']?)\$\{[^}]+\}\1$/.test(written) || !isSecret(path)) continue;
    text += `${source.text.slice(at, from)}"${MASK}"`;
    at = to;
  }
  text += source.text.slice(at);
  // Wherever else they stand, in a comment say; and those of plugins that are not in the catalog.
  for (const secret of secrets) text = text.replaceAll(secret, MASK);
  return text;
}

/** Each schema is turned into JSON Schema once: that takes a millisecond, and ten thousand tenants have as many strings. */
function secretsAt(value: unknown, plugins: readonly PluginDefinition[]): (path: Path) => boolean {
  const file = jsonSchemaOf(ConfigSchema);
  const options = new Map<unknown, JsonSchema | undefined>();
  const optionsOf = (name: unknown): JsonSchema | undefined => {
    if (!options.has(name)) {
      const config = plugins.find((plugin) => plugin.name === name)?.config;
      options.set(name, config === undefined ? undefined : jsonSchemaOf(config));
    }
    return options.get(name);
  };
  return (path) => {
    if (schemaAt(file, path)?.secret === true) return true;
    const config = path.indexOf("config");
    if (config === -1) return false;
    const schema = optionsOf(valueAt(value, [...path.slice(0, config), "name"]));
    return schema !== undefined && schemaAt(schema, path.slice(config + 1))?.secret === true;
  };
}
