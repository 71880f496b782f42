import type { PluginDefinition } from "../../plugins/contract.ts";
import { PLUGINS } from "../../plugins/registry.ts";

/** The plugins that a configuration may name. */
export const CATALOG: readonly PluginDefinition[] = PLUGINS;
