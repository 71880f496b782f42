import { readFileSync } from "node:fs";
import { registerHooks, type ResolveFnOutput, type ResolveHookContext, stripTypeScriptTypes } from "node:module";

/** What plugins import from PulseGate is this very PulseGate, however it is installed, and in a clone as well. */
const EXTENSION = import.meta.url.endsWith(".ts") ? ".ts" : ".js";
const OWN: Readonly<Record<string, string>> = {
  "pulsegate/plugin": new URL(`../contract${EXTENSION}`, import.meta.url).href,
  "pulsegate/plugin-testing": new URL(`../testing/index${EXTENSION}`, import.meta.url).href,
};
const PLUGIN_SCHEME = "pulsegate-plugin:";
const STAMP = "pulsegate";

type Next = (specifier: string, context?: Partial<ResolveHookContext>) => ResolveFnOutput;

/** Nothing is where the plugin's name points to. */
export class PluginNotFound extends Error {
  constructor(cause: unknown) {
    super(cause instanceof Error ? cause.message : String(cause), { cause });
    this.name = "PluginNotFound";
  }
}

let registered = false;
/** Addresses of plugins' own modules. */
const pluginFiles = new Set<string>();
const loaded = new Map<string, Buffer>();

/**
 * From here on this thread resolves `pulsegate/plugin` to itself, `zod` to its own copy where the
 * plugin has none, and a plugin's local modules anew for each digest.
 */
export function registerPluginHooks(): void {
  if (registered) return;
  registered = true;
  registerHooks({
    resolve: (specifier, context, next) => resolve(specifier, context, next),
    load: (url, context, next) => {
      if (pluginFiles.has(url)) loaded.set(url, readFileSync(new URL(url)));
      // Node.js itself strips no types there, so that nobody publishes them for programs at large.
      if (PACKAGED_TYPES.test(url)) return { format: "module", source: stripped(url), shortCircuit: true };
      return next(url, context);
    },
  });
}

const PACKAGED_TYPES = /^file:[^?]*\/node_modules\/[^?]*\.m?ts(\?|$)/;

function stripped(url: string): string {
  return stripTypeScriptTypes(readFileSync(new URL(url), "utf8"), { sourceUrl: url });
}

/** The address to import so that `name` is resolved as from a file in the folder `from` (an URL). */
export function importAddress(name: string, from: string): string {
  return `${PLUGIN_SCHEME}${encodeURIComponent(name)}?from=${encodeURIComponent(from)}`;
}

/** The address of a module at a state of its files: another digest is another module. */
export function stamped(url: string, digest: string): string {
  return `${url}?${STAMP}=${digest}`;
}

/** What this thread has loaded of plugins' own files: address → content. */
export function loadedFiles(): ReadonlyMap<string, Buffer> {
  return loaded;
}

function resolve(specifier: string, context: ResolveHookContext, next: Next): ResolveFnOutput {
  const own = OWN[specifier];
  if (own !== undefined) return { url: own, shortCircuit: true };
  if (specifier.startsWith(PLUGIN_SCHEME)) {
    const { pathname, searchParams } = new URL(specifier);
    return claimed(find(decodeURIComponent(pathname), searchParams.get("from") ?? undefined, context, next));
  }
  const resolved = resolveOrLend(specifier, context, next);
  if (context.parentURL === undefined || !pluginFiles.has(context.parentURL)) return resolved;
  return claimed(isLocal(resolved.url) ? { ...resolved, url: resolved.url + stampOf(context.parentURL) } : resolved);
}

function find(name: string, from: string | undefined, context: ResolveHookContext, next: Next): ResolveFnOutput {
  try {
    return next(name, { ...context, parentURL: from });
  } catch (error) {
    throw new PluginNotFound(error);
  }
}

/** What a plugin's file imports is the plugin's, too; packages change with their version. */
function claimed(resolved: ResolveFnOutput): ResolveFnOutput {
  if (isLocal(resolved.url)) pluginFiles.add(resolved.url);
  return resolved;
}

function resolveOrLend(specifier: string, context: ResolveHookContext, next: Next): ResolveFnOutput {
  try {
    return next(specifier, context);
  } catch (error) {
    if (specifier !== "zod" || (error as NodeJS.ErrnoException).code !== "ERR_MODULE_NOT_FOUND") throw error;
    return next(specifier, { ...context, parentURL: import.meta.url });
  }
}

function isLocal(url: string): boolean {
  return url.startsWith("file:") && !url.includes("/node_modules/");
}

function stampOf(url: string): string {
  const at = url.indexOf(`?${STAMP}=`);
  return at < 0 ? "" : url.slice(at);
}
