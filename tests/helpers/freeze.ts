import type { ChildProcess } from "node:child_process";
import { readdir, readFile } from "node:fs/promises";
import { until } from "./until.ts";

/** Stops a process as SIGSTOP does, and resolves when every thread of it stands still; or lets it go on. */
export async function freezeProcess({ pid }: ChildProcess, frozen: boolean): Promise<void> {
  if (pid === undefined) return;
  process.kill(pid, frozen ? "SIGSTOP" : "SIGCONT");
  if (frozen) await until(async () => ((await standsStill(pid)) ? true : undefined), `process ${pid} stands still`);
}

/** The signal comes to each thread in its own time: until then a server may still answer. */
async function standsStill(pid: number): Promise<boolean> {
  for (const thread of await readdir(`/proc/${pid}/task`)) {
    const stat = await readFile(`/proc/${pid}/task/${thread}/stat`, "utf8").catch(() => ") T");
    if (!/\) [Tt]/.test(stat)) return false;
  }
  return true;
}
