import { jsonSchemaOf } from "../../config/json-schema.ts";
import { suggestion } from "../../config/problems.ts";
import type { PluginDefinition } from "../../plugins/contract.ts";
import { CATALOG } from "./catalog.ts";
import { EXIT, Failure } from "./failure.ts";
import { printJson, printLine, printRows, textOf } from "./print.ts";

/** `plugins list`. */
export function listPlugins({ json }: { readonly json?: boolean }): void {
  const rows = CATALOG.map(({ name, kind, version, summary }) => ({ name, kind, version, summary }));
  if (json === true) printJson(rows);
  else printRows(rows, ["name", "kind", "version", "summary"], "There are no plugins.");
}

/** `plugins show`: options, defaults and secrets of one. */
export function showPlugin(name: string, { json }: { readonly json?: boolean }): void {
  const plugin = CATALOG.find((one) => one.name === name);
  if (plugin === undefined) {
    const next = suggestion(
      name,
      CATALOG.map((one) => one.name),
    );
    throw new Failure(`there is no plugin ${name}`, { exitCode: EXIT.failed, next });
  }
  const options = optionsOf(plugin);
  if (json === true) {
    const { kind, version, summary } = plugin;
    const schema = plugin.config === undefined ? null : jsonSchemaOf(plugin.config);
    printJson({ name, kind, version, summary, config: schema });
    return;
  }
  printLine(`${plugin.name} ${plugin.version} (${plugin.kind})`);
  printLine(plugin.summary);
  printLine();
  for (const option of options) printLine(`  ${option.name}  ${option.notes}\n      ${option.description}`);
  if (options.length === 0) printLine("It has no options.");
}

export interface PluginOption {
  readonly name: string;
  /** Type, default, whether required or secret. */
  readonly notes: string;
  readonly description: string;
}

/** The options of a plugin, for people. */
export function optionsOf(plugin: PluginDefinition): PluginOption[] {
  if (plugin.config === undefined) return [];
  const schema = jsonSchemaOf(plugin.config);
  return Object.entries(schema.properties ?? {}).map(([name, option]) => {
    const type = option.enum?.map(textOf).join(" | ") ?? textOf(option.type ?? "any");
    const required = schema.required?.includes(name) === true && option.default === undefined;
    const notes = [type, required ? "required" : `default ${textOf(option.default ?? "none")}`];
    if (option.secret === true) notes.push("secret");
    return { name, notes: notes.join(", "), description: option.description ?? "" };
  });
}
