import { readFile, readdir } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import type { TestPostgres } from "../helpers/postgres.ts";
import type { Proxy } from "../../plugins/testing/proxy.ts";
import type { Harm } from "./world.ts";

/** Harm to the database that events are delivered to, and to the connections through the proxy before it. */
export function harmsOfDatabase(postgres: TestPostgres, proxy: Proxy): Record<string, Harm> {
  return {
    async "stop PostgreSQL"(random) {
      proxy.refuse(true);
      await signalPostmaster(postgres, "SIGINT");
      await sleep(500 + random() * 2_000);
      proxy.refuse(false);
    },
    async "kill -9 PostgreSQL"(random) {
      await signalPostmaster(postgres, "SIGKILL");
      await sleep(random() * 1_000);
    },
    async "freeze PostgreSQL"(random) {
      const pids = await processesOf(postgres);
      for (const pid of pids) signal(pid, "SIGSTOP");
      await sleep(500 + random() * 4_000);
      for (const pid of pids) signal(pid, "SIGCONT");
    },
    ...harmsOfConnections(proxy, "to PostgreSQL"),
  };
}

/** Harm to the connections of one proxy; `which` says whose they are. */
export function harmsOfConnections(proxy: Proxy, which: string): Record<string, Harm> {
  return {
    async [`cut connections ${which}`](random) {
      for (let i = 0; i < 5; i++) {
        proxy.cut();
        await sleep(random() * 200);
      }
    },
    async [`cut connections ${which} before the reply`](random) {
      for (let i = 0; i < 5; i++) {
        proxy.cutBeforeReply();
        await sleep(random() * 200);
      }
    },
    async [`stall connections ${which}`](random) {
      proxy.stall(true);
      await sleep(500 + random() * 4_000);
      proxy.stall(false);
    },
    async [`slow connections ${which}`](random) {
      proxy.delay(10 + random() * 100);
      await sleep(1_000 + random() * 1_000);
      proxy.delay(0);
    },
    async [`half-close connections ${which}`](random) {
      proxy.halfClose();
      await sleep(random() * 500);
    },
  };
}

async function signalPostmaster(postgres: TestPostgres, name: NodeJS.Signals): Promise<void> {
  const pid = await postmasterOf(postgres);
  if (pid !== undefined) signal(pid, name);
}

/** Undefined while no server runs: it is being started again. */
async function postmasterOf({ dataDir }: TestPostgres): Promise<number | undefined> {
  const text = await readFile(join(dataDir, "postmaster.pid"), "utf8").catch(() => "");
  return Number.parseInt(text, 10) || undefined;
}

/** The postmaster and its children: each has a session of its own, so there is no group to signal. */
async function processesOf(postgres: TestPostgres): Promise<number[]> {
  const postmaster = await postmasterOf(postgres);
  if (postmaster === undefined) return [];
  const pids = [postmaster];
  for (const name of await readdir("/proc")) {
    const status = /^\d+$/.test(name) ? await readFile(`/proc/${name}/status`, "utf8").catch(() => "") : "";
    if (status.includes(`\nPPid:\t${postmaster}\n`)) pids.push(Number(name));
  }
  return pids;
}

function signal(pid: number, name: NodeJS.Signals): void {
  try {
    process.kill(pid, name);
  } catch (error) {
    // It ended meanwhile.
    if ((error as NodeJS.ErrnoException).code !== "ESRCH") throw error;
  }
}
