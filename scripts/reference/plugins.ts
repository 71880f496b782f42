import { jsonSchemaOf } from "../../config/json-schema.ts";
import { PLUGINS } from "../../plugins/registry.ts";
import type { PluginDefinition } from "../../plugins/contract.ts";
import { page, table } from "./markdown.ts";
import { SETTING_COLUMNS, settingRows } from "./schema-words.ts";

export function pluginsPage(): string {
  const byName = PLUGINS.toSorted((a, b) => (a.name < b.name ? -1 : 1));
  return page(
    "Plugins",
    "What a configuration may name under `plugins:`, with each plugin's `config:`. `pulsegate plugins show NAME` prints the same.",
    ...(["transform", "sink"] as const).flatMap((kind) => byName.filter((plugin) => plugin.kind === kind).map(section)),
  );
}

function section(plugin: PluginDefinition): string {
  const head = `## ${plugin.name}\n\n${plugin.kind}, version ${plugin.version}. ${sentence(plugin.summary)}`;
  if (plugin.config === undefined) return `${head}\n\nNo options.`;
  return `${head}\n\n${table(SETTING_COLUMNS, settingRows(jsonSchemaOf(plugin.config)))}`;
}

function sentence(text: string): string {
  return text.endsWith(".") ? text : `${text}.`;
}
