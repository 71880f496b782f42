import fs from "node:fs";
import net from "node:net";
import { join } from "node:path";
import { once } from "node:events";
import { PulseGateError } from "../../core/canonical/errors.ts";

export interface FolderLock {
  release(): Promise<void>;
}

/**
 * One process owns a folder. The lock is a listening socket in Linux's abstract namespace, named by
 * the folder's device and inode: taken atomically, and let go by the kernel when the process dies in
 * whatever way, so that there is no stale lock to judge and no reused process id to mistake. The file
 * `lock.json` beside it only says who the owner is. Rejects with `log_in_use`, naming it.
 */
export async function lockFolder(path: string): Promise<FolderLock> {
  const { dev, ino } = fs.statSync(path);
  const server = net.createServer((socket) => socket.destroy());
  server.unref();
  try {
    // `exclusive`: a cluster worker must not be handed its primary's socket.
    server.listen({ path: `\0pulsegate-log-${dev}-${ino}`, exclusive: true });
    await once(server, "listening");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "EADDRINUSE") throw inUse(path);
    throw error;
  }
  const file = join(path, "lock.json");
  try {
    fs.writeFileSync(file, `${JSON.stringify({ pid: process.pid })}\n`, { mode: 0o600 });
  } catch (error) {
    server.close();
    throw error;
  }
  return {
    async release() {
      fs.rmSync(file, { force: true });
      server.close();
      await once(server, "close");
    },
  };
}

function inUse(path: string): PulseGateError {
  return new PulseGateError("log_in_use", `the data folder ${path} is in use by ${ownerOf(path)}`);
}

function ownerOf(path: string): string {
  try {
    const { pid } = JSON.parse(fs.readFileSync(join(path, "lock.json"), "utf8")) as { pid: number };
    return pid === process.pid ? `this process (pid ${pid})` : `another process (pid ${pid})`;
  } catch {
    return "another process";
  }
}
