import { readFileSync } from "node:fs";
import { availableParallelism } from "node:os";
import { dirname, resolve } from "node:path";
import { hashApiKey } from "../core/ingestion/admit.ts";
import type { PluginDefinition } from "../plugins/contract.ts";
import { checkMeaning } from "./check.ts";
import { jsonSchemaOf, keysAt } from "./json-schema.ts";
import type { JsonSchema } from "./json-schema.ts";
import { inspectExternal, validatePlugins } from "./plugins.ts";
import type { ExternalPlugins, PluginUsage } from "./plugins.ts";
import { checkOrderings } from "./ordering.ts";
import { problemsOfIssues, sortProblems } from "./problems.ts";
import type { Problem } from "./problems.ts";
import { draftOf, settingsOf } from "./revision.ts";
import type { ProcessSettings, RevisionDraft } from "./revision.ts";
import { checkRoutes } from "./routing.ts";
import { ConfigSchema } from "./schema.ts";
import type { ParsedConfig } from "./schema.ts";
import { secretsOf, withoutSecrets } from "./secrets.ts";
import { parseSource } from "./source.ts";
import type { Source } from "./source.ts";
import { substitute } from "./substitute.ts";
import type { Substituted } from "./substitute.ts";
import { validate } from "./validate.ts";

/** Where plugins are looked up; plugins/registry.ts has the real ones. */
export type PluginCatalog = readonly PluginDefinition[];

export interface ParseOptions {
  readonly text: string;
  /** As it shall stand in messages; relative paths of the file start at its folder. */
  readonly file: string;
  readonly plugins: PluginCatalog;
  /** The plugins that are not built in, as `inspectExternal` found them. */
  readonly external?: ExternalPlugins | undefined;
  readonly env: Readonly<Record<string, string | undefined>>;
  /** In dev, keys may stand in plain text. */
  readonly mode: "dev" | "production";
  /** Options given to each use of a plugin that does not set them itself: plugin name → options. */
  readonly pluginDefaults?: Readonly<Record<string, Readonly<Record<string, unknown>>>> | undefined;
}

export interface LoadedConfig {
  readonly draft: RevisionDraft;
  readonly settings: ProcessSettings;
  /** Values that must never be written anywhere; for the logger's redaction. */
  readonly secrets: readonly string[];
  readonly source: Source;
  readonly substituted: readonly Substituted[];
  /** Every place where a plugin is used. */
  readonly uses: readonly PluginUsage[];
}

export type ParseResult =
  | { readonly ok: true; readonly config: LoadedConfig }
  /** All of them, in the order of the file. */
  | { readonly ok: false; readonly problems: readonly Problem[] };

/**
 * Reads and parses a file, and loads the plugins that it names; one that can't be read is a problem
 * at its first line.
 */
export async function loadConfig(options: Omit<ParseOptions, "text" | "external">): Promise<ParseResult> {
  let text: string;
  try {
    text = readFileSync(options.file, "utf8");
  } catch (error) {
    const reason = (error as NodeJS.ErrnoException).code === "ENOENT" ? "no such file" : String(error);
    const hint = "check the path given with --config";
    return { ok: false, problems: [{ file: options.file, line: 1, column: 1, message: reason, hint }] };
  }
  return loadText({ ...options, text });
}

/** As `loadConfig`, for a text that stands in for the file. */
export async function loadText(options: Omit<ParseOptions, "external">): Promise<ParseResult> {
  // A long text is read once: ten thousand tenants take a second.
  const read = readSource(options);
  const { source, substituted, folder } = read;
  const isReadable = source.syntax.every((problem) => problem.readable);
  const value = isReadable ? source.toValue() : undefined;
  const external = await inspectExternal({ value, substituted, plugins: options.plugins, folder });
  return parseRead(read, { ...options, external });
}

/** The configuration that a text stands for, or everything that is wrong with it. */
export function parseConfig(options: ParseOptions): ParseResult {
  return parseRead(readSource(options), options);
}

function parseRead({ source, substituted, unresolved, folder }: Read, options: ParseOptions): ParseResult {
  const syntax = source.syntax.map(({ readable: _, ...problem }) => ({ file: options.file, ...problem }));
  if (source.syntax.some((problem) => !problem.readable)) return refused(syntax, []);
  const missing = unresolved.map(({ path, message, hint }) => {
    return { file: options.file, ...source.placeOf(path), message, hint, kind: "unfilled" as const };
  });
  return interpret({ options, source, substituted, problems: [...syntax, ...missing], folder });
}

type Read = ReturnType<typeof readSource>;

function readSource({ text, file, env }: Pick<ParseOptions, "text" | "file" | "env">) {
  const source = parseSource(text, file);
  const folder = dirname(resolve(file));
  if (source.syntax.some((problem) => !problem.readable)) return { source, substituted: [], unresolved: [], folder };
  const { substituted, problems: unresolved } = substitute(source, {
    env,
    readFile: (path) => readFileSync(resolve(folder, path), "utf8"),
  });
  return { source, substituted, unresolved, folder };
}

interface Interpretation {
  readonly options: ParseOptions;
  readonly source: Source;
  readonly substituted: readonly Substituted[];
  readonly problems: Problem[];
  readonly folder: string;
}

function interpret({ options, source, substituted, problems, folder }: Interpretation): ParseResult {
  const written = source.toValue() ?? undefined;
  const value = written ?? {};
  // A deploy that truncates before it writes must not look like a wish for no tenants at all.
  if (written === undefined) {
    const hint = "write at least `tenants:`; `pulsegate config schema` tells what may stand in it";
    problems.push({ file: options.file, line: 1, column: 1, message: "the file is empty", hint });
  }
  const { parsed, issues } = validate(ConfigSchema, value, { substituted, base: [] });
  problems.push(
    ...problemsOfIssues(issues, {
      source,
      base: [],
      value,
      keysAt: (path) => keysAt(fileSchema(), path),
    }),
  );
  const plugins = validatePlugins({ ...options, source, substituted, value });
  problems.push(
    ...plugins.problems,
    ...checkMeaning({ value, source, mode: options.mode, plugins }),
    ...checkRoutes({ value, source }),
    ...checkOrderings({ value, source }),
  );
  const secrets = secretsOf({ value, schema: fileSchema(), substituted, plugins: plugins.uses });
  if (problems.length > 0 || parsed === undefined) return refused(problems, secrets, substituted);
  const draft = draftOf(parsed as ParsedConfig, {
    hashKey: hashApiKey,
    pluginAt: plugins.pluginAt,
  });
  const settings = settingsOf(parsed as ParsedConfig, {
    resolvePath: (path) => resolve(folder, path),
    hashKey: hashApiKey,
    cores: availableParallelism(),
  });
  return { ok: true, config: { draft, settings, secrets, source, substituted, uses: plugins.uses } };
}

let cachedSchema: JsonSchema | undefined;

function fileSchema(): JsonSchema {
  cachedSchema ??= jsonSchemaOf(ConfigSchema);
  return cachedSchema;
}

function refused(
  problems: readonly Problem[],
  secrets: readonly string[],
  substituted: readonly Substituted[] = [],
): ParseResult {
  // What could not be filled in is wrong in the schema's eyes as well: once is enough.
  const unfilled = problems.filter((one) => one.kind === "unfilled").map(placeKey);
  const told = problems.filter((one) => one.kind === "unfilled" || !unfilled.includes(placeKey(one)));
  return { ok: false, problems: sortProblems(told.map((one) => withoutSecrets(one, secrets, substituted))) };
}

function placeKey({ line, column }: Problem): string {
  return `${line}:${column}`;
}
