import { schemaAt } from "./json-schema.ts";
import type { JsonSchema } from "./json-schema.ts";
import type { PluginUsage } from "./plugins.ts";
import type { Problem } from "./problems.ts";
import { valueAt } from "./problems.ts";
import type { Path } from "./source.ts";
import type { Substituted } from "./substitute.ts";

/** Shorter values would take innocent text with them wherever they are blotted out. */
const SECRET_LENGTH_MIN = 4;

export interface SecretsOptions {
  readonly value: unknown;
  readonly schema: JsonSchema;
  readonly substituted: readonly Substituted[];
  readonly plugins: readonly PluginUsage[];
}

/** All values that must never be shown: options that a schema marks as secret, and what came from mounted files. */
export function secretsOf({ value, schema, substituted, plugins }: SecretsOptions): string[] {
  const found = new Set<string>();
  const collect = (at: unknown, path: Path, root: JsonSchema): void => {
    if (at !== null && typeof at === "object") {
      for (const [key, inner] of Object.entries(at))
        collect(inner, [...path, Array.isArray(at) ? Number(key) : key], root);
    } else if (typeof at === "string" && schemaAt(root, path)?.secret === true) found.add(at);
  };
  collect(value, [], schema);
  for (const use of plugins) {
    const { schema: own } = use.plugin;
    if (own !== undefined) {
      collect(valueAt(value, [...use.path, "config"]), [], own);
      collect(use.config, [], own);
    }
  }
  for (const { value: text, fromFile } of substituted) if (fromFile) found.add(text);
  return [...found].filter((secret) => secret.length >= SECRET_LENGTH_MIN);
}

/** A plugin's own words on its options may quote them: blot out what isn't to be shown. */
export function withoutSecrets(
  problem: Problem,
  secrets: readonly string[],
  substituted: readonly Substituted[],
): Problem {
  const hide = (text: string): string => {
    let shown = text;
    for (const { value, written } of substituted) {
      if (value.length >= SECRET_LENGTH_MIN) shown = shown.replaceAll(value, written);
    }
    for (const secret of secrets) shown = shown.replaceAll(secret, "[secret]");
    return shown;
  };
  return {
    ...problem,
    message: hide(problem.message),
    hint: problem.hint === undefined ? undefined : hide(problem.hint),
  };
}
