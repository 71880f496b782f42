/**
 * `make check`: everything about the tree that can be judged without running it.
 *
 *     node scripts/check.ts            all checks
 *     node scripts/check.ts types lint some of them
 */
import { spawn } from "node:child_process";
import { resolve } from "node:path";
import { checkFloors } from "./floors.ts";

const ROOT = resolve(import.meta.dirname, "..");
/** Far fewer modules than the tree holds means that the checker reads nothing, which it does not say by itself. */
const MODULES_MIN = 40;

interface Verdict {
  readonly ok: boolean;
  readonly output: string;
}

const CHECKS: Record<string, () => Promise<Verdict>> = {
  format: () => tool("biome", "format", "."),
  lint: () => tool("oxlint", "--type-aware", "--deny-warnings"),
  types: () => tool("tsc", "--noEmit"),
  floors,
  generated: () => run(process.execPath, ["scripts/generate-reference.ts", "--check"]),
  dashboards: () => run(process.execPath, ["scripts/generate-dashboards.ts", "--check"]),
  figures: () => run(process.execPath, ["scripts/quote-figures.ts", "--check"]),
  "dead code": () => tool("knip"),
};

async function main(names: readonly string[]): Promise<number> {
  const unknown = names.filter((name) => !(name in CHECKS));
  if (unknown.length > 0) {
    console.error(`no such check: ${unknown.join(", ")}; there are ${Object.keys(CHECKS).join(", ")}`);
    return 2;
  }
  let failed = 0;
  for (const [name, check] of Object.entries(CHECKS)) {
    if (names.length > 0 && !names.includes(name)) continue;
    const started = performance.now();
    const { ok, output } = await check();
    const seconds = ((performance.now() - started) / 1000).toFixed(1);
    console.log(`${ok ? "ok    " : "FAILED"}  ${name.padEnd(10)} ${seconds.padStart(5)} s`);
    if (!ok) {
      failed++;
      console.log(output.trimEnd());
    }
  }
  return failed === 0 ? 0 : 1;
}

async function floors(): Promise<Verdict> {
  const { modules, violations } = await checkFloors(ROOT);
  if (modules < MODULES_MIN)
    return { ok: false, output: `only ${modules} modules were read: the parser does not work` };
  return { ok: violations.length === 0, output: violations.join("\n") };
}

function tool(name: string, ...args: string[]): Promise<Verdict> {
  return run(resolve(ROOT, "node_modules/.bin", name), args);
}

function run(command: string, args: readonly string[]): Promise<Verdict> {
  const { promise, resolve: done } = Promise.withResolvers<Verdict>();
  const child = spawn(command, args, { cwd: ROOT, stdio: ["ignore", "pipe", "pipe"] });
  let output = "";
  const collect = (chunk: Buffer) => {
    output += chunk.toString();
  };
  child.stdout.on("data", collect);
  child.stderr.on("data", collect);
  child.on("error", (error) => done({ ok: false, output: String(error) }));
  child.on("close", (code) => done({ ok: code === 0, output }));
  return promise;
}

process.exitCode = await main(process.argv.slice(2));
