import { execFile } from "node:child_process";
import { resolve } from "node:path";
import { promisify } from "node:util";

const FOLDERS = ["core", "drivers", "plugins", "adapters", "workers", "config", "app", "observability"];

export interface FloorReport {
  readonly modules: number;
  readonly violations: readonly string[];
}

/**
 * Checks the import floors of a tree. dependency-cruiser passes silently when its parser is missing
 * and it reads nothing, so the number of modules is reported for the caller to judge.
 */
export async function checkFloors(root: string, folders = FOLDERS): Promise<FloorReport> {
  const tool = resolve(import.meta.dirname, "../node_modules/.bin/depcruise");
  const config = resolve(import.meta.dirname, "../.dependency-cruiser.cjs");
  const run = promisify(execFile);
  const { stdout } = await run(process.execPath, [tool, "--config", config, "--output-type", "json", ...folders], {
    cwd: root,
    maxBuffer: 64 * 1024 * 1024,
  }).catch((error: { stdout?: string }) => {
    // It exits with the number of violations; its report is still on stdout.
    if (error.stdout) return { stdout: error.stdout };
    throw error;
  });
  return readReport(stdout);
}

function readReport(json: string): FloorReport {
  const report = JSON.parse(json) as {
    modules: Array<{ source: string; dependencies: unknown[] }>;
    summary: { violations: Array<{ rule: { name: string }; from: string; to: string }> };
  };
  return {
    modules: report.modules.filter((module) => module.source.endsWith(".ts")).length,
    violations: report.summary.violations.map(({ rule, from, to }) => `${rule.name}: ${from} → ${to}`),
  };
}
