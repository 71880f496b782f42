import { type ChildProcess, fork } from "node:child_process";
import { existsSync, statSync } from "node:fs";
import { join, resolve } from "node:path";
import { pathToFileURL } from "node:url";
import type { InspectAnswer, InspectRequest } from "./inspect-messages.ts";

/** A module that takes longer to load hangs; a configuration must not wait for it. */
const INSPECT_TIMEOUT_MS = 20_000;
const INSPECT_HEAP_MIB = 256;
const STDERR_LENGTH_MAX = 2_000;
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
  const name = isPath(request.name) ? fileOf(resolve(request.folder, request.name)) : request.name;
  if (name === undefined) return { ok: false, message: "there is no such file", notFound: true };
  return ask({ ...request, name, folder });
}

/** A folder stands for the module in it. */
function fileOf(path: string): string | undefined {
  if (!existsSync(path)) return undefined;
  if (!statSync(path).isDirectory()) return pathToFileURL(path).href;
  const entry = ENTRIES.map((name) => join(path, name)).find((file) => existsSync(file));
  return entry === undefined ? undefined : pathToFileURL(entry).href;
}

function ask(request: InspectRequest): Promise<InspectAnswer> {
  const child = fork(ENTRY, {
    serialization: "advanced",
    execArgv: ["--disable-warning=ExperimentalWarning", `--max-old-space-size=${INSPECT_HEAP_MIB}`],
    // What it prints belongs to nobody; its last words tell why it died.
    stdio: ["ignore", "ignore", "pipe", "ipc"],
  });
  return new Promise((done) => {
    const refuse = (message: string) => done({ ok: false, message, notFound: false });
    const words = stderrOf(child);
    const deadline = setTimeout(() => {
      refuse(`it did not load within ${INSPECT_TIMEOUT_MS / 1_000} s`);
      child.kill("SIGKILL");
    }, INSPECT_TIMEOUT_MS);
    child.on("message", (answer: InspectAnswer) => {
      done(answer);
      child.kill("SIGKILL");
    });
    child.on("error", (error) => refuse(error.message));
    child.on("close", (code, signal) => {
      clearTimeout(deadline);
      refuse(`loading it ended the process (${signal ?? `exit code ${code}`})${lastLine(words())}`);
    });
    child.send(request, (error) => {
      if (error !== null) refuse(error.message);
    });
  });
}

function stderrOf(child: ChildProcess): () => string {
  let text = "";
  child.stderr?.on("data", (chunk: Buffer) => {
    text = (text + chunk.toString()).slice(-STDERR_LENGTH_MAX);
  });
  return () => text;
}

function lastLine(text: string): string {
  const line = text
    .split("\n")
    .map((one) => one.trim())
    .findLast((one) => /^\w*Error\b/.test(one));
  return line === undefined ? "" : `: ${line}`;
}

// Source runs as .ts, the built package as .js.
const ENTRY = new URL(`./inspect-entry${import.meta.url.endsWith(".ts") ? ".ts" : ".js"}`, import.meta.url);
