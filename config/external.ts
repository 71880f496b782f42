import { existsSync, statSync } from "node:fs";
import { isBuiltin } from "node:module";
import { join, resolve } from "node:path";
import { pathToFileURL } from "node:url";
import { foreignEnvironment } from "../plugins/loading/foreign-environment.ts";
import { askProcess } from "./ask-process.ts";
import type { InspectAnswer, InspectRequest } from "./inspect-messages.ts";

/** A module that takes longer to load hangs; a configuration must not wait for it. */
const INSPECT_TIMEOUT_MS = 20_000;
/** Looked for in a folder, in this order. */
const ENTRIES = ["index.ts", "index.js", "index.mjs"];

/** Whether a plugin's name is a path, not the name of a built-in plugin or a package. */
export function isPath(name: string): boolean {
  return name.startsWith("./") || name.startsWith("../") || name.startsWith("/");
}

/**
 * Loads a plugin in a process of its own, which ends with it, and validates options by its schema
 * there: whatever its code does at load can't hold up or end this process. Never rejects.
 */
export async function inspectPlugin(request: {
  readonly name: string;
  /** Relative names start here. */
  readonly folder: string;
  readonly uses: InspectRequest["uses"];
}): Promise<InspectAnswer> {
  const folder = pathToFileURL(`${resolve(request.folder)}/`).href;
  const name = isPath(request.name) ? fileOf(resolve(request.folder, request.name)) : packageOf(request.name);
  if (name === undefined) return { ok: false, message: "there is no such file", notFound: true };
  const asked = { ...request, name, folder } satisfies InspectRequest;
  const end = await askProcess<InspectAnswer>({
    entry: ENTRY,
    request: asked,
    timeoutMs: INSPECT_TIMEOUT_MS,
    env: foreignEnvironment(),
  });
  if (end.type === "answer") return end.answer;
  const message =
    end.type === "late" ? `it did not load within ${INSPECT_TIMEOUT_MS / 1_000} s` : `loading it ${end.how}`;
  return { ok: false, message, notFound: false };
}

const PACKAGE = /^(?:@[a-z0-9._~-]+\/)?[a-z0-9_~-][a-z0-9._~-]*(?:\/[A-Za-z0-9._~/-]+)?$/i;

/** A package, or a module in it; not what else an import may name: an address, or a module of Node's own. */
function packageOf(name: string): string | undefined {
  return PACKAGE.test(name) && !isBuiltin(name) ? name : undefined;
}

/** The address of the module that a path stands for; a folder stands for the module in it. */
export function fileOf(path: string): string | undefined {
  if (!existsSync(path)) return undefined;
  if (!statSync(path).isDirectory()) return pathToFileURL(path).href;
  const entry = ENTRIES.map((name) => join(path, name)).find((file) => existsSync(file));
  return entry === undefined ? undefined : pathToFileURL(entry).href;
}

// Source runs as .ts, the built package as .js.
const ENTRY = new URL(`./inspect-entry${import.meta.url.endsWith(".ts") ? ".ts" : ".js"}`, import.meta.url);
