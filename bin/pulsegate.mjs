#!/usr/bin/env node
// Runs on any Node.js from 12 on, to find the one that PulseGate needs. Plain old JavaScript on purpose.
import { spawn } from "child_process";
import { existsSync } from "fs";
import * as nodeModule from "module";
import { constants } from "os";
import { dirname, join } from "path";
import { fileURLToPath, pathToFileURL } from "url";

const NODE_MAJOR_MIN = 24;
const root = dirname(dirname(fileURLToPath(import.meta.url)));
const source = join(root, "app", "cli", "index.ts");
const built = join(root, "dist", "app", "cli", "index.js");
const entry = existsSync(source) ? source : built;

// What was compiled is kept for the next start. Beside the code, where nobody can write who may not change the
// code as well; where we may not, there is none.
process.env.NODE_COMPILE_CACHE = process.env.NODE_COMPILE_CACHE || join(root, "node_modules", ".cache", "pulsegate");

if (Number(process.versions.node.split(".")[0]) >= NODE_MAJOR_MIN) {
  // Worker threads and the pinned Node.js find it in the environment; this thread has started already.
  nodeModule.enableCompileCache(process.env.NODE_COMPILE_CACHE);
  // Without top-level await, which Node.js 12 can't parse.
  void import(pathToFileURL(entry).href);
} else {
  const pinned = findPinned();
  if (pinned === undefined) {
    process.stderr.write(
      "error: PulseGate needs Node.js " +
        NODE_MAJOR_MIN +
        " or newer, and this is " +
        process.versions.node +
        "\n" +
        "  next: run `npm install` in " +
        root +
        " (it brings the right one), or install it from https://nodejs.org\n",
    );
    process.exitCode = 1;
  } else {
    runWith(pinned);
  }
}

/** The node of the npm package `node`: in this package's own node_modules or in one above it. */
function findPinned() {
  for (let folder = root; ; folder = dirname(folder)) {
    const candidate = join(folder, "node_modules", "node", "bin", process.platform === "win32" ? "node.exe" : "node");
    if (existsSync(candidate)) return candidate;
    if (folder === dirname(folder)) return undefined;
  }
}

function runWith(node) {
  const child = spawn(node, [entry].concat(process.argv.slice(2)), { stdio: "inherit" });
  // A terminal sends Ctrl-C to the child as well, a supervisor only to this process: the child takes a
  // second signal of the same kind within its drain as the same one. It decides when to end.
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"]) {
    process.on(signal, () => {
      if (signal !== "SIGINT" || !process.stdin.isTTY) child.kill(signal);
    });
  }
  child.on("error", (error) => {
    process.stderr.write("error: can't run " + node + ": " + error.message + "\n");
    process.exitCode = 1;
  });
  child.on("exit", (code, signal) => {
    if (signal === null) process.exitCode = code;
    else process.exitCode = 128 + (constants.signals[signal] || 0);
  });
}
