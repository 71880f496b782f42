import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import fs from "node:fs/promises";
import os from "node:os";
import path from "node:path";
import { createInterface } from "node:readline";
import { describe, expect, it } from "vitest";

const HAS_STRACE = spawnSync("strace", ["-V"]).status === 0;

describe.runIf(HAS_STRACE)("as the kernel sees it", () => {
  it("every acknowledgement follows the return of the synchronous write that holds its event", {
    timeout: 60_000,
  }, async () => {
    const folder = await fs.mkdtemp(path.join(os.tmpdir(), "pulsegate-log-"));
    const trace = path.join(folder, "trace");
    const fixture = path.join(import.meta.dirname, "killed.fixture.ts");
    const child = spawn(
      "strace",
      [
        "-f",
        "-qq",
        "-s",
        "65536",
        "-e",
        "trace=openat,pwrite64,write",
        "-o",
        trace,
        process.execPath,
        fixture,
        path.join(folder, "log"),
        "traced",
      ],
      {
        stdio: ["ignore", "pipe", "inherit"],
        detached: true,
      },
    );
    const exited = once(child, "exit");
    try {
      let acks = 0;
      const lines = createInterface({ input: child.stdout });
      for await (const _ of lines) if (++acks === 300) break;
    } finally {
      // strace and what it traces are a group of their own.
      process.kill(-(child.pid as number), "SIGKILL");
      await exited;
    }
    const { acknowledged, early, flags } = judge((await fs.readFile(trace, "latin1")).split("\n"));
    await fs.rm(folder, { recursive: true, force: true });
    expect(flags.length).toBeGreaterThan(0);
    expect(flags.every((flag) => flag.includes("O_DSYNC"))).toBe(true);
    expect(acknowledged).toBeGreaterThanOrEqual(300);
    expect(early).toEqual([]);
  });
});

/** Goes through the trace in order: a write counts once it has returned, an acknowledgement when it begins. */
function judge(lines: readonly string[]) {
  const unfinished = new Map<string, string>();
  const durable = new Set<string>();
  const early: string[] = [];
  const flags: string[] = [];
  let acknowledged = 0;
  for (const line of lines) {
    const [, thread = "", call = ""] = /^(\d+)\s+(.*)$/.exec(line) ?? [];
    const opened = /openat\([^"]*"[^"]*\.seg", ([A-Z_|]+)/.exec(call);
    if (opened?.[1]?.includes("O_RDWR")) flags.push(opened[1]);
    const ack = /^write\(1, "\S+ \d+ (traced-\d+)/.exec(call);
    if (ack?.[1] !== undefined) {
      acknowledged++;
      if (!durable.has(ack[1])) early.push(ack[1]);
    } else if (call.startsWith("pwrite64(") && call.endsWith("<unfinished ...>")) unfinished.set(thread, call);
    else {
      const data = call.startsWith("pwrite64(")
        ? call
        : call.startsWith("<... pwrite64 resumed")
          ? unfinished.get(thread)
          : undefined;
      // strace prints a quote within a string as \".
      for (const [, id] of data?.matchAll(/event_id\\":\\"(traced-\d+)/g) ?? []) if (id !== undefined) durable.add(id);
    }
  }
  return { acknowledged, early, flags };
}
