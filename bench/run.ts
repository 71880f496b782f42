/**
 * `make bench`: the figures that the README quotes. Each bench runs its reference and PulseGate in
 * turn in one run, and states medians of ratios.
 *
 *     make bench                       all of them, results to bench/results/
 *     make bench ARGS="ingest"         one
 *     make bench ARGS="ingest --short" a quick look; nothing is written
 *     make bench ARGS="redis --part=door --part=idle --rounds=3 --seconds=3" some of it; nothing is written
 */
import { execFileSync, spawnSync } from "node:child_process";
import { mkdirSync, writeFileSync } from "node:fs";
import { resolve } from "node:path";
import { deadLetters } from "./dead-letters.ts";
import { delivery } from "./delivery.ts";
import { growth } from "./growth.ts";
import { isolation } from "./isolation.ts";
import { ingest, type IngestOptions } from "./ingest.ts";
import { machine } from "./lib/machine.ts";
import { openLoopBench } from "./open-loop.ts";
import { profile } from "./profile.ts";
import { routing } from "./routing.ts";
import { qos } from "./qos.ts";
import { scaleOut } from "./scale-out.ts";
import { redis } from "./redis.ts";
import { replay } from "./replay.ts";
import { sinks } from "./sinks.ts";
import { transforms } from "./transforms.ts";

const RESULTS = resolve(import.meta.dirname, "results");

const BENCHES: Record<string, (options: IngestOptions) => Promise<unknown>> = {
  ingest,
  delivery,
  replay,
  "dead-letters": deadLetters,
  "open-loop": openLoopBench,
  profile,
  sink: () => script("postgres-sink.ts"),
  sinks,
  transforms,
  routing,
  isolation,
  log: () => script("log-append.ts"),
  growth,
  qos,
  redis,
  "scale-out": scaleOut,
  "log-growth": () => script("log-growth.ts"),
};

const LONG: IngestOptions = { rounds: 5, seconds: 5 };
const SHORT: IngestOptions = { rounds: 1, seconds: 2 };

async function main(args: readonly string[]): Promise<number> {
  const parts = valuesOf(args, "--part");
  const isWhole = !args.includes("--short") && parts.length === 0;
  const of = (name: string, usual: number): number => Number(valuesOf(args, name)[0] ?? usual);
  const usual = args.includes("--short") ? SHORT : LONG;
  const options = { rounds: of("--rounds", usual.rounds), seconds: of("--seconds", usual.seconds), parts };
  const names = args.filter((arg) => !arg.startsWith("--"));
  const unknown = names.filter((name) => !(name in BENCHES));
  if (unknown.length > 0) {
    console.error(`no such bench: ${unknown.join(", ")}; there are ${Object.keys(BENCHES).join(", ")}`);
    return 2;
  }
  needWrk();
  for (const [name, bench] of Object.entries(BENCHES)) {
    if (names.length > 0 && !names.includes(name)) continue;
    console.error(`${name} ...`);
    const result = await bench(options);
    const report = {
      bench: name,
      at: new Date().toISOString(),
      commit: commit(),
      machine: machine(),
      ...(result as object),
    };
    console.log(JSON.stringify(report, null, 2));
    if (isWhole) save(name, report);
  }
  return 0;
}

function valuesOf(args: readonly string[], name: string): string[] {
  return args.filter((arg) => arg.startsWith(`${name}=`)).map((arg) => arg.slice(name.length + 1));
}

/** A bench that is a program of its own, with its own process to measure. */
async function script(file: string): Promise<unknown> {
  const run = spawnSync(process.execPath, ["--expose-gc", resolve(import.meta.dirname, file), "--json"], {
    encoding: "utf8",
    stdio: ["ignore", "pipe", "inherit"],
    maxBuffer: 16 * 1024 * 1024,
  });
  if (run.status !== 0) throw new Error(`${file} failed`);
  return JSON.parse(run.stdout);
}

function save(name: string, report: unknown): void {
  mkdirSync(RESULTS, { recursive: true });
  writeFileSync(resolve(RESULTS, `${name}.json`), `${JSON.stringify(report, null, 2)}\n`);
}

function commit(): string {
  try {
    return execFileSync("git", ["rev-parse", "--short", "HEAD"], { encoding: "utf8" }).trim();
  } catch {
    return "unknown";
  }
}

function needWrk(): void {
  if (spawnSync("wrk", ["-v"]).error === undefined) return;
  console.error("installing wrk, the load generator (Debian package) ...");
  const installed = spawnSync("apt-get", ["install", "-y", "wrk"], { stdio: ["ignore", "ignore", "inherit"] });
  if (installed.status !== 0)
    throw new Error("wrk is missing and could not be installed. As root: apt-get install wrk");
}

process.exitCode = await main(process.argv.slice(2));
