import { stringify } from "yaml";
import { jsonSchemaOf, schemaAt } from "./json-schema.ts";
import type { JsonSchema } from "./json-schema.ts";
import type { LoadedConfig, ParseOptions } from "./parse.ts";
import type { PluginFacts } from "./plugins.ts";
import { formatPath } from "./problems.ts";
import { ConfigSchema } from "./schema.ts";
import type { Path } from "./source.ts";

/** One setting in effect. `value` is as a user would write it, secrets and substituted values masked. */
export interface Explained {
  readonly path: string;
  readonly value: unknown;
  /** `default`, `FILE:LINE`, or where else it came from. */
  readonly origin: string;
}

type Tree =
  | { readonly kind: "leaf"; readonly value: unknown; readonly origin: string; readonly path: Path }
  | { readonly kind: "map"; readonly entries: ReadonlyArray<readonly [string, Tree]> }
  | { readonly kind: "list"; readonly items: readonly Tree[] };

export interface ExplainOptions {
  readonly config: LoadedConfig;
  readonly pluginDefaults?: ParseOptions["pluginDefaults"];
}

/** Every setting in effect, defaults included, one by one. */
export function explain(options: ExplainOptions): Explained[] {
  return [...leavesOf(treeOf(options))].map(({ path, value, origin }) => ({ path: formatPath(path), value, origin }));
}

/** The effective configuration as YAML, the origin of each value beside it. */
export function explainText(options: ExplainOptions): string {
  const lines = linesOf(treeOf(options), "");
  const width = Math.min(60, Math.max(...lines.map(({ text }) => text.length)));
  return lines.map(({ text, origin }) => (origin === "" ? text : `${text.padEnd(width)}  # ${origin}`)).join("\n");
}

function treeOf(options: ExplainOptions): Tree {
  return walk(jsonSchemaOf(ConfigSchema), options.config.source.toValue() ?? {}, { path: [], options });
}

interface At {
  readonly path: Path;
  readonly options: ExplainOptions;
  /** Set below a value that the file does not hold. */
  readonly origin?: string | undefined;
}

function walk(schema: JsonSchema | undefined, value: unknown, at: At): Tree {
  if (Array.isArray(value) && value.length > 0) {
    return {
      kind: "list",
      items: value.map((item: unknown, i) => walk(schema?.items, item, { ...at, path: [...at.path, i] })),
    };
  }
  if (value !== null && typeof value === "object" && !Array.isArray(value)) return walkMap(schema, value, at);
  return leaf(schema, value, at);
}

function walkMap(schema: JsonSchema | undefined, value: object, at: At): Tree {
  const given = value as Readonly<Record<string, unknown>>;
  const entries: Array<readonly [string, Tree]> = [];
  for (const key of new Set([...Object.keys(schema?.properties ?? {}), ...Object.keys(given)])) {
    const inner = schema === undefined ? undefined : schemaAt(schema, [key]);
    const path = [...at.path, key];
    const plugin = key === "config" ? pluginAt(at) : undefined;
    if (plugin !== undefined) entries.push([key, pluginOptions(plugin, given[key], { ...at, path })]);
    else if (given[key] !== undefined) entries.push([key, walk(inner, given[key], { ...at, path })]);
    else if (inner?.default !== undefined) {
      entries.push([key, walk(inner, inner.default, { ...at, path, origin: "default" })]);
    }
  }
  return entries.length === 0 ? leaf(schema, {}, at) : { kind: "map", entries };
}

/** The plugin whose options stand under `config`, if these are a plugin's and it has any. */
function pluginAt({ path, options }: At): PluginFacts | undefined {
  const here = formatPath(path);
  const use = options.config.uses.find((one) => formatPath(one.path) === here);
  return use?.plugin.schema === undefined ? undefined : use.plugin;
}

function pluginOptions({ name, schema }: PluginFacts, given: unknown, at: At): Tree {
  const handed = at.options.pluginDefaults?.[name] ?? {};
  const own = (given ?? {}) as Readonly<Record<string, unknown>>;
  const tree = walkMap(schema, { ...handed, ...own }, at);
  if (tree.kind !== "map") return tree;
  return {
    kind: "map",
    entries: tree.entries.map(([key, inner]) => {
      const isHanded = Object.hasOwn(handed, key) && !Object.hasOwn(own, key) && inner.kind === "leaf";
      return [key, isHanded ? { ...inner, origin: "given to every such plugin at start" } : inner];
    }),
  };
}

function leaf(schema: JsonSchema | undefined, value: unknown, { path, options, origin }: At): Tree {
  const { source, substituted } = options.config;
  const outside = substituted.find((one) => formatPath(one.path) === formatPath(path));
  const here = source.has(path) ? `${source.file}:${source.placeOf(path).line}` : "default";
  const shown = outside?.written ?? (schema?.secret === true ? "[secret]" : value);
  return { kind: "leaf", path, value: shown, origin: origin ?? here };
}

function* leavesOf(tree: Tree): Generator<Extract<Tree, { kind: "leaf" }>> {
  if (tree.kind === "leaf") yield tree;
  else if (tree.kind === "map") for (const [, inner] of tree.entries) yield* leavesOf(inner);
  else for (const item of tree.items) yield* leavesOf(item);
}

interface Line {
  readonly text: string;
  readonly origin: string;
}

function linesOf(tree: Tree, indent: string): Line[] {
  if (tree.kind === "leaf") return [{ text: `${indent}${scalar(tree.value)}`, origin: tree.origin }];
  if (tree.kind === "map") {
    return tree.entries.flatMap(([key, inner]) => {
      if (inner.kind === "leaf")
        return [{ text: `${indent}${scalar(key)}: ${scalar(inner.value)}`, origin: inner.origin }];
      return [{ text: `${indent}${scalar(key)}:`, origin: "" }, ...linesOf(inner, `${indent}  `)];
    });
  }
  return tree.items.flatMap((item) => {
    const [first, ...rest] = linesOf(item, `${indent}  `);
    if (first === undefined) return [];
    return [{ ...first, text: `${indent}- ${first.text.slice(indent.length + 2)}` }, ...rest];
  });
}

function scalar(value: unknown): string {
  if (typeof value === "string" && value.includes("\n")) return JSON.stringify(value);
  return stringify(value, { lineWidth: 0, collectionStyle: "flow" }).trimEnd();
}
