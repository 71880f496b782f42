import { createHash } from "node:crypto";
import type { PluginDefinition } from "../contract.ts";
import { importAddress, loadedFiles, registerPluginHooks, stamped } from "./hooks.ts";

/** Also a lane's name, unless the configuration gives the sink another. */
const NAME_PATTERN = /^[A-Za-z0-9_.-]{1,64}$/;
const VERSION_PATTERN = /^\d+\.\d+\.\d+(?:[-+][0-9A-Za-z.+-]+)?$/;

/** A module that was loaded for the first time in this thread. */
export interface LoadedPlugin {
  readonly definition: PluginDefinition;
  /** `file:` address that the name stands for. */
  readonly url: string;
  /** SHA-256 over the plugin's own files (those of packages excepted), as they were loaded. */
  readonly digest: string;
}

/**
 * Loads the plugin that `name` stands for, as resolved from the folder `from` (an URL that ends in a
 * slash): a path, or a package. For a process that loads this one and ends; whatever the module's
 * code does happens here. Rejects with what is wrong with it.
 */
export async function loadPlugin(name: string, from: string): Promise<LoadedPlugin> {
  registerPluginHooks();
  const address = importAddress(name, from);
  const module = (await import(address)) as { default?: unknown };
  const definition = checkedDefinition(module.default);
  return { definition, url: import.meta.resolve(address), digest: digestOf(loadedFiles()) };
}

/** Loads the module of a revision; another digest is loaded anew. Rejects with what is wrong with it. */
export async function loadPluginAt(url: string, digest: string): Promise<PluginDefinition> {
  registerPluginHooks();
  const module = (await import(importAddress(stamped(url, digest), url))) as { default?: unknown };
  return checkedDefinition(module.default);
}

/** A `TypeError` says what a module's default export lacks to be a plugin. */
export function checkedDefinition(value: unknown): PluginDefinition {
  const fault = definitionFault(value);
  if (fault !== undefined) throw new TypeError(fault);
  return value as PluginDefinition;
}

function definitionFault(value: unknown): string | undefined {
  if (value === undefined) return "it has no default export: `export default definePlugin({ … })`";
  if (typeof value !== "object" || value === null) return "its default export is not a plugin definition";
  const { kind, name, version, summary, create, config } = value as Record<string, unknown>;
  if (kind !== "transform" && kind !== "sink") return 'its `kind` must be "transform" or "sink"';
  if (typeof name !== "string" || !NAME_PATTERN.test(name))
    return "its `name` must be 1 to 64 letters, digits, _ . or -";
  if (typeof version !== "string" || !VERSION_PATTERN.test(version))
    return "its `version` must be a semantic version, e.g. 1.0.0";
  if (typeof summary !== "string") return "its `summary` must be a line of text";
  if (typeof create !== "function") return "its `create` must be a function that makes an instance";
  if (config !== undefined && !isSchema(config)) return "its `config` must be a schema of zod 4";
  return undefined;
}

function isSchema(value: unknown): boolean {
  const schema = value as { safeParse?: unknown; _zod?: unknown } | null;
  return typeof schema?.safeParse === "function" && typeof schema._zod === "object";
}

function digestOf(files: ReadonlyMap<string, Buffer>): string {
  const hash = createHash("sha256");
  for (const [url, content] of [...files].toSorted(([a], [b]) => (a < b ? -1 : 1)))
    hash.update(`${url}\n${content.length}\n`).update(content);
  return hash.digest("hex").slice(0, 16);
}
