import { loadConfig } from "../../config/parse.ts";
import type { LoadedConfig } from "../../config/parse.ts";
import { formatProblem } from "../../config/problems.ts";
import { CATALOG } from "./catalog.ts";
import { Failure } from "./failure.ts";
import { printNote } from "./print.ts";

/** The configuration of a file, its plugins loaded; fails after telling all that is wrong with it. */
export async function loadOrFail(file: string): Promise<LoadedConfig> {
  const result = await loadConfig({ file, plugins: CATALOG, env: process.env, mode: "production" });
  if (result.ok) return result.config;
  for (const problem of result.problems) printNote(formatProblem(problem));
  throw new Failure(`${file} is not valid`, { next: "mend the above; `pulsegate config check` tells the same" });
}
