import type { PluginModule } from "../core/ingestion/revision.ts";
import type { PluginDefinition } from "../plugins/contract.ts";
import { inspectPlugin, isPath } from "./external.ts";
import type { InspectAnswer, InspectedUse } from "./inspect-messages.ts";
import { jsonSchemaOf, keysAt } from "./json-schema.ts";
import type { JsonSchema } from "./json-schema.ts";
import { formatPath, problemsOfIssues, suggestion, valueAt } from "./problems.ts";
import type { Problem } from "./problems.ts";
import type { ResolvedPlugin } from "./revision.ts";
import type { Path, Source } from "./source.ts";
import type { Substituted } from "./substitute.ts";
import { strict, validate } from "./validate.ts";

type List = "transform" | "sinks";

/** What is known of a plugin without its code. */
export interface PluginFacts {
  readonly kind: "transform" | "sink";
  readonly name: string;
  readonly version: string;
  readonly summary: string;
  readonly schema: JsonSchema | undefined;
  /** Absent for a built-in plugin. */
  readonly module?: PluginModule | undefined;
}

/** One place in the file where a plugin is used. */
export interface PluginUsage {
  readonly path: Path;
  readonly plugin: PluginFacts;
  /** Validated, defaults filled in; undefined when it is not valid. */
  readonly config: unknown;
}

/** What became of the plugins that are not built in, by their names in the file. */
export type ExternalPlugins = ReadonlyMap<string, ExternalPlugin>;

interface ExternalPlugin {
  readonly answer: InspectAnswer;
  /** By the place of the use. */
  readonly uses: ReadonlyMap<string, InspectedUse>;
}

export interface PluginsOptions {
  readonly value: unknown;
  readonly source: Source;
  readonly substituted: readonly Substituted[];
  readonly plugins: readonly PluginDefinition[];
  readonly external?: ExternalPlugins | undefined;
  readonly pluginDefaults?: Readonly<Record<string, Readonly<Record<string, unknown>>>> | undefined;
}

export interface ValidatedPlugins {
  readonly uses: readonly PluginUsage[];
  readonly problems: readonly Problem[];
  /** Only of a place whose plugin was found. */
  readonly pluginAt: (path: Path) => ResolvedPlugin;
  readonly factsAt: (path: Path) => PluginFacts | undefined;
}

/** Loads each plugin that the file names and PulseGate does not have, once, each in a process of its own. */
export async function inspectExternal(options: {
  readonly value: unknown;
  readonly substituted: readonly Substituted[];
  readonly plugins: readonly PluginDefinition[];
  readonly folder: string;
}): Promise<ExternalPlugins> {
  const { value, substituted, plugins, folder } = options;
  const places = new Map<string, Path[]>();
  for (const { path, name } of usesIn(value)) {
    if (!plugins.some((plugin) => plugin.name === name)) places.set(name, [...(places.get(name) ?? []), path]);
  }
  const found = await Promise.all(
    [...places].map(async ([name, paths]): Promise<[string, ExternalPlugin]> => {
      const uses = paths.map((path) => {
        const base = [...path, "config"];
        return { value: optionsAt(value, base), base, substituted: [...substituted] };
      });
      const answer = await inspectPlugin({ name, folder, uses });
      const results = answer.ok ? answer.uses : [];
      const byPlace = paths.flatMap((path, i): [string, InspectedUse][] => {
        const result = results[i];
        return result === undefined ? [] : [[formatPath(path), result]];
      });
      return [name, { answer, uses: new Map(byPlace) }];
    }),
  );
  return new Map(found);
}

/** Something other than a mapping is reported by the file's own schema. */
function optionsAt(value: unknown, base: Path): Record<string, unknown> {
  const written = valueAt(value, base);
  return isMapping(written) ? written : {};
}

function isMapping(value: unknown): value is Record<string, unknown> {
  return value !== null && typeof value === "object" && !Array.isArray(value);
}

/** Looks up each plugin that the file names and validates its options by the plugin's own schema. */
export function validatePlugins(options: PluginsOptions): ValidatedPlugins {
  const uses: PluginUsage[] = [];
  const problems: Problem[] = [];
  for (const use of usesIn(options.value)) {
    const found = lookUp(use, options);
    if ("message" in found) problems.push(found);
    else uses.push(validateUse(found, use.path, options, problems));
  }
  problems.push(...clashes(uses, options));
  const byPath = new Map(uses.map((use) => [formatPath(use.path), use]));
  return {
    uses,
    problems,
    pluginAt: (path) => {
      const use = byPath.get(formatPath(path));
      if (use === undefined) throw new Error("there is no plugin at this place");
      const { name, module } = use.plugin;
      return { name, config: use.config, ...(module === undefined ? {} : { module }) };
    },
    factsAt: (path) => byPath.get(formatPath(path))?.plugin,
  };
}

function kindOf(list: List): "transform" | "sink" {
  return list === "sinks" ? "sink" : "transform";
}

interface Use {
  readonly path: Path;
  readonly list: List;
  readonly name: string;
}

/** Read from the raw value, so that one wrong tenant does not hide what is wrong with another's plugins. */
function* usesIn(value: unknown): Generator<Use> {
  for (const tenant of indexesAt(value, ["tenants"])) {
    const plugins = ["tenants", tenant, "plugins"];
    yield* usesAt(value, [...plugins, "transform"], "transform");
    yield* usesAt(value, [...plugins, "sinks"], "sinks");
    for (const sink of indexesAt(value, [...plugins, "sinks"]))
      yield* usesAt(value, [...plugins, "sinks", sink, "transform"], "transform");
  }
}

function* usesAt(value: unknown, at: Path, list: List): Generator<Use> {
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

interface Found {
  readonly facts: PluginFacts;
  readonly definition?: PluginDefinition;
  readonly checked?: InspectedUse | undefined;
}

function lookUp(use: Use, options: PluginsOptions): Found | Problem {
  const kind = kindOf(use.list);
  const definition = options.plugins.find((plugin) => plugin.name === use.name && plugin.kind === kind);
  if (definition !== undefined) return { facts: factsOf(definition), definition };
  const external = options.external?.get(use.name);
  if (external === undefined) return unknownPlugin(use, options);
  const { answer, uses } = external;
  if (!answer.ok) return answer.notFound ? unknownPlugin(use, options) : unloadable(use, answer.message, options);
  const { url, digest, schema, plugin } = answer;
  if (plugin.kind !== kind) return problemAt(use, options, { what: `${use.name} is a ${plugin.kind}, not a ${kind}` });
  const module = { source: use.name, url, digest, version: plugin.version };
  return { facts: { ...plugin, schema, module }, checked: uses.get(formatPath(use.path)) };
}

/** What a definition says of a plugin. */
export function factsOf(definition: PluginDefinition): PluginFacts {
  const known = FACTS.get(definition);
  if (known !== undefined) return known;
  const { kind, name, version, summary, config } = definition;
  const facts = { kind, name, version, summary, schema: config === undefined ? undefined : jsonSchemaOf(config) };
  FACTS.set(definition, facts);
  return facts;
}

/** Made once: a file may use one plugin ten thousand times. */
const FACTS = new WeakMap<PluginDefinition, PluginFacts>();

/** Every plugin there is: the built-in ones, and those that a configuration brings, each once. */
export function knownPlugins(builtIn: readonly PluginDefinition[], uses: readonly PluginUsage[]): PluginFacts[] {
  const brought = uses.flatMap(({ plugin }) => (plugin.module === undefined ? [] : [plugin]));
  return [...builtIn.map(factsOf), ...new Map(brought.map((plugin) => [plugin.name, plugin])).values()];
}

/** Where a plugin comes from, for people. */
export function sourceOf({ module }: Pick<PluginFacts, "module">): string {
  return module?.source ?? "built in";
}

function unknownPlugin(use: Use, options: PluginsOptions): Problem {
  const kind = kindOf(use.list);
  if (isPath(use.name))
    return problemAt(use, options, {
      what: `there is no file ${use.name}`,
      hint: "paths start at the configuration file's folder; a folder needs an index.ts or index.js",
    });
  const known = options.plugins.filter((plugin) => plugin.kind === kind).map((plugin) => plugin.name);
  if (options.plugins.some((plugin) => plugin.name === use.name))
    return problemAt(use, options, { what: `"${use.name}" is not a ${kind}`, hint: suggestion(use.name, known) });
  const near = suggestion(use.name, known);
  const install = "; a file is written as ./plugins/mine.ts, a package must be installed beside this file";
  const hint = options.external === undefined || near.startsWith("did you mean") ? near : near + install;
  return problemAt(use, options, { what: `unknown ${kind} "${use.name}"`, hint });
}

function unloadable(use: Use, message: string, options: PluginsOptions): Problem {
  const what = `${use.name} can't be loaded: ${message.split("\n")[0]}`;
  return problemAt(use, options, { what, hint: `\`pulsegate plugins check ${use.name}\` tells more` });
}

function problemAt(use: Use, { source }: PluginsOptions, words: { what: string; hint?: string }): Problem {
  const place = source.placeOf([...use.path, "name"]);
  return { file: source.file, ...place, message: `${formatPath(use.path)}: ${words.what}`, hint: words.hint };
}

function validateUse(found: Found, path: Path, options: PluginsOptions, problems: Problem[]): PluginUsage {
  const { facts, definition, checked } = found;
  const { value, source, substituted, pluginDefaults } = options;
  const base = [...path, "config"];
  const { schema } = facts;
  if (schema === undefined) {
    if (Object.keys(optionsAt(value, base)).length > 0) {
      const message = `${formatPath(path)}: ${facts.name} has no options`;
      problems.push({ file: source.file, ...source.placeOf(base), message, hint: "remove its config" });
    }
    return { path, plugin: facts, config: undefined };
  }
  const whole = { ...pluginDefaults?.[facts.name], ...optionsAt(value, base) };
  const { parsed, issues } =
    definition?.config === undefined
      ? (checked ?? { parsed: undefined, issues: [] })
      : validate(strict(definition.config), whole, { substituted, base });
  problems.push(...problemsOfIssues(issues, { source, base, value: whole, keysAt: (inner) => keysAt(schema, inner) }));
  return { path, plugin: facts, config: parsed };
}

/** Dead letters, metrics and lanes know a plugin by its name: one name must mean one thing. */
function clashes(uses: readonly PluginUsage[], options: PluginsOptions): Problem[] {
  const first = new Map(options.plugins.map((plugin) => [plugin.name, factsOf(plugin)]));
  const problems: Problem[] = [];
  for (const { path, plugin } of uses) {
    const other = first.get(plugin.name);
    if (other === undefined) first.set(plugin.name, plugin);
    if (other === undefined || other.module?.url === plugin.module?.url) continue;
    const message = `${formatPath(path)}: ${identity(plugin)} has the same name as ${identity(other)}`;
    const hint = "two versions of one plugin can't run side by side: use one of them, or give one another name";
    const place = options.source.placeOf([...path, "name"]);
    problems.push({ file: options.source.file, ...place, message, hint });
  }
  return problems;
}

function identity({ name, version, module }: PluginFacts): string {
  return `${name} ${version} (${sourceOf({ module })})`;
}
