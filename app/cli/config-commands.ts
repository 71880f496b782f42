import { explain, explainText } from "../../config/explain.ts";
import { fileJsonSchema } from "../../config/json-schema.ts";
import { loadConfig } from "../../config/parse.ts";
import type { ParseOptions, ParseResult } from "../../config/parse.ts";
import { formatProblem } from "../../config/problems.ts";
import { pluginDefaults } from "../plugin-defaults.ts";
import { CATALOG } from "./catalog.ts";
import { explainEventFile } from "./explain-event.ts";
import { Failure } from "./failure.ts";
import { printJson, printLine, printNote } from "./print.ts";

export interface ConfigOptions {
  readonly config: string;
  readonly dev?: boolean;
  readonly json?: boolean;
}

/** `config check`: fails when anything is wrong, after telling all of it. */
export async function checkConfig(options: ConfigOptions): Promise<void> {
  const result = await load(options);
  if (!result.ok) {
    if (options.json === true) printJson({ ok: false, problems: result.problems });
    throw refusal(result, options);
  }
  const { tenants } = result.config.draft;
  const sinks = tenants.reduce((sum, tenant) => sum + tenant.sinks.length, 0);
  if (options.json === true) printJson({ ok: true, tenants: tenants.length, sinks });
  else printLine(`${options.config} is valid: ${tenants.length} tenant(s), ${sinks} sink(s)`);
}

export interface ExplainOptions extends ConfigOptions {
  readonly event?: string;
  readonly tenant?: string;
}

/** `config explain`: the settings in effect and where each comes from; with `--event`, what becomes of one. */
export async function explainConfig(options: ExplainOptions): Promise<void> {
  const result = await load(options);
  if (!result.ok) throw refusal(result, options);
  if (options.event !== undefined) {
    const { tenants, limits } = result.config.draft;
    return explainEventFile(options.event, { ...options, tenants, limits });
  }
  const explained = { config: result.config, pluginDefaults: pluginDefaultsOf(options) };
  if (options.json === true) printJson(explain(explained));
  else printLine(explainText(explained));
}

/** `config schema`: JSON Schema for editors. */
export function printSchema(): void {
  printJson(fileJsonSchema(CATALOG));
}

function load(options: ConfigOptions): Promise<ParseResult> {
  return loadConfig({
    file: options.config,
    plugins: CATALOG,
    env: process.env,
    mode: options.dev === true ? "dev" : "production",
    pluginDefaults: pluginDefaultsOf(options),
  });
}

/** As `dev` or `start` would have them; here the address of dev's database does not matter. */
function pluginDefaultsOf({ dev }: ConfigOptions): ParseOptions["pluginDefaults"] {
  const devDatabaseUrl = dev === true ? "postgres://pulsegate:dev@127.0.0.1:5432/pulsegate" : undefined;
  return pluginDefaults({ env: process.env, devDatabaseUrl });
}

function refusal(result: Extract<ParseResult, { ok: false }>, { config, json }: ConfigOptions): Failure {
  if (json !== true) for (const problem of result.problems) printNote(formatProblem(problem));
  const many = result.problems.length === 1 ? "a problem" : `${result.problems.length} problems`;
  return new Failure(`${config} is not valid: ${many}`, {
    next: "mend the above and run `pulsegate config check` again",
  });
}
