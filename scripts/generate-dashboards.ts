/**
 * Writes deploy/grafana/ from scripts/dashboards/.
 *
 *     node scripts/generate-dashboards.ts           write
 *     node scripts/generate-dashboards.ts --check   exit 1 and name the files that are not current
 */
import { readFile, writeFile } from "node:fs/promises";
import { join, resolve } from "node:path";
import { DELIVERY } from "./dashboards/delivery.ts";
import { grafanaJson } from "./dashboards/grafana.ts";
import { INGEST } from "./dashboards/ingest.ts";
import type { Dashboard } from "./dashboards/panels.ts";
import { TENANT_DASHBOARD } from "./dashboards/tenant.ts";

const FOLDER = resolve(import.meta.dirname, "../deploy/grafana");

export const DASHBOARDS: Readonly<Record<string, Dashboard>> = {
  "ingest.json": INGEST,
  "delivery.json": DELIVERY,
  "tenant.json": TENANT_DASHBOARD,
};

async function main(args: readonly string[]): Promise<number> {
  let stale = 0;
  for (const [name, dashboard] of Object.entries(DASHBOARDS)) {
    const path = join(FOLDER, name);
    const text = grafanaJson(dashboard);
    if (!args.includes("--check")) await writeFile(path, text);
    else if ((await readFile(path, "utf8").catch(() => undefined)) !== text) {
      console.error(`deploy/grafana/${name} is not current: run \`make reference\``);
      stale += 1;
    }
  }
  return stale === 0 ? 0 : 1;
}

if (import.meta.main) process.exitCode = await main(process.argv.slice(2));
