import { exampleOf } from "../../config/example.ts";
import { inspectPlugin, isPath } from "../../config/external.ts";
import type { JsonSchema } from "../../config/json-schema.ts";
import { factsOf, knownPlugins, sourceOf } from "../../config/plugins.ts";
import type { PluginFacts, PluginUsage } from "../../config/plugins.ts";
import { suggestion } from "../../config/problems.ts";
import { settingsOf } from "../../config/settings.ts";
import { CATALOG } from "./catalog.ts";
import { EXIT, Failure } from "./failure.ts";
import { printJson, printLine, printRows, textOf } from "./print.ts";

export interface ListOptions {
  readonly json?: boolean;
  /** Also the plugins that this file names. */
  readonly config?: string;
}

/** `plugins list`. */
export async function listPlugins({ json, config }: ListOptions): Promise<void> {
  const plugins = knownPlugins(CATALOG, config === undefined ? [] : await usesIn(config));
  const rows = plugins.map(({ name, kind, version, summary, module }) => {
    return { name, kind, version, source: sourceOf({ module }), summary };
  });
  if (json === true) printJson(rows);
  else printRows(rows, ["name", "kind", "version", "source", "summary"], "There are no plugins.");
}

async function usesIn(file: string): Promise<readonly PluginUsage[]> {
  const { loadOrFail } = await import("./plugin-config.ts");
  return (await loadOrFail(file)).uses;
}

/** `plugins show`: options, defaults, secrets and an example of one: a built-in plugin, a file or a package. */
export async function showPlugin(name: string, { json }: { readonly json?: boolean }): Promise<void> {
  const facts = await factsOfName(name);
  const { kind, version, summary, schema, module } = facts;
  const example = exampleOf(facts);
  if (json === true) {
    const source = sourceOf({ module });
    printJson({ name: facts.name, kind, version, source, summary, config: schema ?? null, example });
    return;
  }
  printLine(`${facts.name} ${version} (${kind})`);
  printLine(summary);
  printLine();
  const options = optionsOf(facts);
  for (const option of options) printLine(`  ${option.name}  ${option.notes}\n      ${option.description}`);
  if (options.length === 0) printLine("It has no options.");
  printLine("\nExample:");
  printLine(example.replaceAll(/^/gm, "  "));
}

/** What is known of a plugin by its name or path; fails when there is none, or it can't be loaded. */
export async function factsOfName(name: string): Promise<PluginFacts> {
  const builtIn = CATALOG.find((plugin) => plugin.name === name);
  if (builtIn !== undefined) return factsOf(builtIn);
  const answer = await inspectPlugin({ name, folder: process.cwd(), uses: [] });
  if (answer.ok) {
    const { plugin, schema, url, digest } = answer;
    return { ...plugin, schema, module: { source: name, url, digest, version: plugin.version } };
  }
  if (answer.notFound) throw notFound(name);
  throw new Failure(`${name} can't be loaded`, { why: answer.message, next: "mend the module and try again" });
}

function notFound(name: string): Failure {
  if (isPath(name)) return new Failure(`there is no file ${name}`, { next: "paths start at this folder" });
  const known = CATALOG.map((plugin) => plugin.name);
  return new Failure(`there is no plugin ${name}`, {
    exitCode: EXIT.failed,
    next: `${suggestion(name, known)}; a file is written as ./${name}, a package must be installed here`,
  });
}

interface PluginOption {
  readonly name: string;
  /** Type, default, whether required or secret. */
  readonly notes: string;
  readonly description: string;
}

/** The options of a plugin, for people; those within a group or a list after it. */
function optionsOf({ schema = {} }: Pick<PluginFacts, "schema">): PluginOption[] {
  return settingsOf(schema).map(({ name, schema: option, isRequired, isGroup }) => {
    const list = option.items === undefined ? "group" : "list";
    const type = isGroup ? list : (option.enum?.map(textOf).join(" | ") ?? typeOf(option));
    const given = textOf(option.default ?? "none");
    const notes = [type];
    if (isRequired) notes.push("required");
    else if (!isGroup || given.length <= DEFAULT_LENGTH_MAX) notes.push(`default ${given}`);
    if (option.secret === true) notes.push("secret");
    return { name, notes: notes.join(", "), description: option.description ?? "" };
  });
}

/** A group's default may be long, and then its description says what it is. */
const DEFAULT_LENGTH_MAX = 40;

function typeOf({ type, anyOf, oneOf }: JsonSchema): string {
  const alternatives = anyOf ?? oneOf;
  if (type === undefined && alternatives !== undefined) return [...new Set(alternatives.map(typeOf))].join(" | ");
  return textOf(type ?? "any");
}
