import { ZodObject } from "zod";
import type { ZodType } from "zod";
import type { PluginDefinition } from "../plugins/contract.ts";
import { jsonSchemaOf, keysAt } from "./json-schema.ts";
import type { JsonSchema } from "./json-schema.ts";
import { formatPath, problemsOfIssues, suggestion, valueAt } from "./problems.ts";
import type { Problem } from "./problems.ts";
import type { Path, Source } from "./source.ts";
import type { Substituted } from "./substitute.ts";
import { validate } from "./validate.ts";

type List = "transform" | "sinks";

/** One place in the file where a plugin is used. */
export interface PluginUsage {
  readonly path: Path;
  readonly plugin: PluginDefinition;
  readonly schema: JsonSchema | undefined;
  /** Validated, defaults filled in; undefined when it is not valid. */
  readonly config: unknown;
}

export interface PluginsOptions {
  readonly value: unknown;
  readonly source: Source;
  readonly substituted: readonly Substituted[];
  readonly plugins: readonly PluginDefinition[];
  readonly pluginDefaults?: Readonly<Record<string, Readonly<Record<string, unknown>>>> | undefined;
}

export interface ValidatedPlugins {
  readonly uses: readonly PluginUsage[];
  readonly problems: readonly Problem[];
  /** `own` counts a sink's own transforms. */
  readonly configOf: (tenant: number, list: List, index: number, own?: number) => unknown;
}

/** Looks up each plugin that the file names and validates its options by the plugin's own schema. */
export function validatePlugins(options: PluginsOptions): ValidatedPlugins {
  const uses: PluginUsage[] = [];
  const problems: Problem[] = [];
  for (const { path, list, name } of usesIn(options.value)) {
    const found = options.plugins.find((plugin) => plugin.name === name && plugin.kind === kindOf(list));
    if (found === undefined) problems.push(unknownPlugin({ path, list, name, options }));
    else uses.push(validateUse(found, path, options, problems));
  }
  const byPath = new Map(uses.map((use) => [formatPath(use.path), use.config]));
  return {
    uses,
    problems,
    configOf: (tenant, list, index, own) => {
      const path = ["tenants", tenant, "plugins", list, index];
      return byPath.get(formatPath(own === undefined ? path : [...path, "transform", own]));
    },
  };
}

function kindOf(list: List): "transform" | "sink" {
  return list === "sinks" ? "sink" : "transform";
}

/** Read from the raw value, so that one wrong tenant does not hide what is wrong with another's plugins. */
function* usesIn(value: unknown): Generator<{ path: Path; list: List; name: string }> {
  for (const tenant of indexesAt(value, ["tenants"])) {
    const plugins = ["tenants", tenant, "plugins"];
    yield* usesAt(value, [...plugins, "transform"], "transform");
    yield* usesAt(value, [...plugins, "sinks"], "sinks");
    for (const sink of indexesAt(value, [...plugins, "sinks"]))
      yield* usesAt(value, [...plugins, "sinks", sink, "transform"], "transform");
  }
}

function* usesAt(value: unknown, at: Path, list: List): Generator<{ path: Path; list: List; name: string }> {
  for (const index of indexesAt(value, at)) {
    const path = [...at, index];
    const name = valueAt(value, [...path, "name"]);
    if (typeof name === "string") yield { path, list, name };
  }
}

function indexesAt(value: unknown, path: Path): number[] {
  const list = valueAt(value, path);
  return Array.isArray(list) ? [...list.keys()] : [];
}

function unknownPlugin(unknown: { path: Path; list: List; name: string; options: PluginsOptions }): Problem {
  const { path, list, name, options } = unknown;
  const kind = kindOf(list);
  const otherKind = options.plugins.some((plugin) => plugin.name === name);
  const known = options.plugins.filter((plugin) => plugin.kind === kind).map((plugin) => plugin.name);
  const what = otherKind ? `"${name}" is not a ${kind}` : `unknown ${kind} "${name}"`;
  return {
    file: options.source.file,
    ...options.source.placeOf([...path, "name"]),
    message: `${formatPath(path)}: ${what}`,
    hint: suggestion(name, known),
  };
}

function validateUse(
  plugin: PluginDefinition,
  path: Path,
  { value, source, substituted, pluginDefaults }: PluginsOptions,
  problems: Problem[],
): PluginUsage {
  const written = valueAt(value, [...path, "config"]);
  if (plugin.config === undefined) {
    if (written !== undefined && written !== null && Object.keys(written).length > 0) {
      const place = source.placeOf([...path, "config"]);
      const message = `${formatPath(path)}: ${plugin.name} has no options`;
      problems.push({ file: source.file, ...place, message, hint: "remove its config" });
    }
    return { path, plugin, schema: undefined, config: undefined };
  }
  const base = [...path, "config"];
  const schema = jsonSchemaOf(plugin.config);
  // Something other than a mapping is reported by the file's own schema.
  const given = isMapping(written) ? written : {};
  const whole = { ...pluginDefaults?.[plugin.name], ...given };
  const { parsed, issues } = validate(strict(plugin.config), whole, { substituted, base });
  problems.push(...problemsOfIssues(issues, { source, base, value: whole, keysAt: (inner) => keysAt(schema, inner) }));
  return { path, plugin, schema, config: parsed };
}

function isMapping(value: unknown): value is Record<string, unknown> {
  return value !== null && typeof value === "object" && !Array.isArray(value);
}

/** A mistyped option must not be dropped in silence, whatever the plugin's author thought of. */
function strict(schema: ZodType): ZodType {
  return schema instanceof ZodObject && schema.def.catchall === undefined ? schema.strict() : schema;
}
