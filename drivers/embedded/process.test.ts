import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import fs from "node:fs/promises";
import os from "node:os";
import path from "node:path";
import { createInterface } from "node:readline";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { type EmbeddedLog, openEmbeddedLog } from "./index.ts";
import { entryOf, noMetrics, quietLogger, SteppedClock } from "./testing.ts";

let folder: string;
beforeEach(async () => {
  folder = await fs.mkdtemp(path.join(os.tmpdir(), "pulsegate-log-"));
});
afterEach(() => fs.rm(folder, { recursive: true, force: true }));

function open(at = folder, segmentBytes = 128 << 10): Promise<EmbeddedLog> {
  return openEmbeddedLog({
    path: at,
    clock: new SteppedClock(),
    logger: quietLogger,
    metrics: noMetrics,
    segmentBytes,
  });
}

/** Starts a process that appends; `acks` fills up. */
function startAppender(prefix: string) {
  const child = spawn(process.execPath, [path.join(import.meta.dirname, "killed.fixture.ts"), folder, prefix], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  const acks: Array<{ tenantId: string; sequence: number; eventId: string }> = [];
  const lines = createInterface({ input: child.stdout });
  const closed = once(lines, "close");
  const waiters: Array<{ count: number; resolve: () => void }> = [];
  lines.on("line", (line) => {
    const [tenantId, sequence, eventId] = line.split(" ") as [string, string, string];
    // The last line may be cut off by the kill.
    if (eventId !== undefined) acks.push({ tenantId, sequence: Number(sequence), eventId });
    for (const waiter of waiters) if (acks.length >= waiter.count) waiter.resolve();
  });
  return {
    acks,
    atLeast: (count: number) => new Promise<void>((resolve) => waiters.push({ count, resolve })),
    async kill() {
      child.kill("SIGKILL");
      await once(child, "exit");
      await closed;
    },
  };
}

describe("kill -9", () => {
  it("in mid-commit loses nothing that was acknowledged, round after round on one folder", {
    timeout: 60_000,
  }, async () => {
    const stored = new Map<string, string>();
    for (let round = 0; round < 6; round++) {
      const appender = startAppender(`r${round}`);
      try {
        await appender.atLeast(100 + 317 * round);
      } finally {
        await appender.kill();
      }
      for (const { tenantId, sequence, eventId } of appender.acks) stored.set(`${tenantId}/${sequence}`, eventId);
      const log = await open();
      let found = 0;
      for (const tenantId of ["tenant_0", "tenant_1", "tenant_2"]) {
        const entries = await log.read({ tenantId, partition: 0 }, 0, { entries: 1e6, bytes: 1e9 });
        entries.forEach((entry, i) => expect(entry.sequence).toBe(i));
        for (const entry of entries) {
          const acked = stored.get(`${tenantId}/${entry.sequence}`);
          if (acked === undefined) continue;
          found++;
          expect(entry.bytes.includes(`"event_id":"${acked}"`)).toBe(true);
        }
      }
      expect(found).toBe(stored.size);
      await log.close();
    }
  });
});

describe("the lock", () => {
  it("refuses a second owner, naming the first, and is free once that is killed", { timeout: 30_000 }, async () => {
    const appender = startAppender("a");
    try {
      await appender.atLeast(1);
      await expect(open()).rejects.toMatchObject({
        code: "log_in_use",
        message: expect.stringMatching(/is in use by another process \(pid \d+\)$/),
      });
    } finally {
      await appender.kill();
    }
    const log = await open();
    await expect(open()).rejects.toMatchObject({
      code: "log_in_use",
      message: expect.stringContaining(`pid ${process.pid}`),
    });
    await log.close();
    await (await open()).close();
  });

  it("holds through another name of the folder", async () => {
    const log = await open();
    const alias = `${folder}-alias`;
    await fs.symlink(folder, alias);
    try {
      await expect(open(alias)).rejects.toMatchObject({ code: "log_in_use" });
    } finally {
      await fs.unlink(alias);
      await log.close();
    }
  });
});

describe.runIf(process.getuid?.() === 0 && process.platform === "linux")("a small file system", () => {
  it("that fills up is answered with log_full, loses nothing, and is used again once there is room", {
    timeout: 60_000,
  }, async () => {
    execFileSync("mount", ["-t", "tmpfs", "-o", "size=6m", "tmpfs", folder]);
    try {
      // Room for LMDB's growth is taken from the same place.
      await fs.writeFile(path.join(folder, "ballast"), Buffer.alloc(2 << 20));
      const log = await open(folder, 1 << 20);
      let stored = 0;
      const refusals: unknown[] = [];
      while (refusals.length === 0) {
        await log.append([entryOf("t", `e${stored}`, 20_000)]).then(
          () => {
            stored++;
          },
          (error: unknown) => {
            refusals.push(error);
          },
        );
      }
      expect(refusals[0]).toMatchObject({ code: "log_full" });
      await expect(log.probe()).rejects.toMatchObject({ code: "log_full" });
      await fs.unlink(path.join(folder, "ballast"));
      const isBack = async () =>
        log.append([entryOf("t", "after", 20_000)]).then(
          () => true,
          () => false,
        );
      while (!(await isBack())) await new Promise((resolve) => setImmediate(resolve));
      await log.close();
      const again = await open(folder);
      expect(await again.bounds({ tenantId: "t", partition: 0 })).toEqual({ first: 0, end: stored + 1 });
      await again.close();
    } finally {
      execFileSync("umount", [folder]);
    }
  });
});
