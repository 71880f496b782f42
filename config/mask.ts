import type { PluginDefinition } from "../plugins/contract.ts";
import { jsonSchemaOf, schemaAt } from "./json-schema.ts";
import type { LoadedConfig } from "./parse.ts";
import { valueAt } from "./problems.ts";
import { ConfigSchema } from "./schema.ts";
import type { Path } from "./source.ts";

export interface MaskedText {
  readonly text: string;
  /** What was masked, in the order of the text. */
  readonly values: readonly string[];
}

/** A secret of so many characters is blotted out wherever else it stands, in a comment say. */
const SECRET_LENGTH_MIN = 8;
const MASK = '"[secret]"';

/** A configuration's text as it was written, its secrets masked. What stands there as `${…}` is no secret. */
export function maskedText({ source, secrets }: LoadedConfig, plugins: readonly PluginDefinition[]): MaskedText {
  const value = source.toValue();
  const values: string[] = [];
  let text = "";
  let at = 0;
  for (const { path, from, to } of source.strings()) {
    const written = source.text.slice(from, to);
    if (/^(["']?)\$\{[^}]+\}\1$/.test(written) || !isSecret(value, path, plugins)) continue;
    text += source.text.slice(at, from) + MASK;
    values.push(written);
    at = to;
  }
  text += source.text.slice(at);
  for (const secret of secrets) if (secret.length >= SECRET_LENGTH_MIN) text = text.replaceAll(secret, "[secret]");
  return { text, values };
}

function isSecret(value: unknown, path: Path, plugins: readonly PluginDefinition[]): boolean {
  if (schemaAt(jsonSchemaOf(ConfigSchema), path)?.secret === true) return true;
  const config = path.indexOf("config");
  if (config === -1) return false;
  const name = valueAt(value, [...path.slice(0, config), "name"]);
  const schema = plugins.find((plugin) => plugin.name === name)?.config;
  return schema !== undefined && schemaAt(jsonSchemaOf(schema), path.slice(config + 1))?.secret === true;
}
