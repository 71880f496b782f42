import { readFile, readdir } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import type { Random } from "../../core/environment.ts";
import type { TestPostgres } from "../helpers/postgres.ts";
import type { Proxy } from "../../plugins/testing/proxy.ts";
import type { Gate } from "./gate.ts";

export interface Victims {
  readonly gate: Gate;
  readonly postgres: TestPostgres;
  /** Between the two. */
  readonly proxy: Proxy;
}

type Harm = (victims: Victims, random: Random) => Promise<void>;

/** Each does its harm and makes it good again before it resolves. */
const HARMS: Readonly<Record<string, Harm>> = {
  "kill -9 PulseGate": async ({ gate }, random) => {
    await gate.kill();
    await sleep(random() * 300);
    await gate.start();
  },
  "kill -9 PulseGate twice, the second time while it starts": async ({ gate }, random) => {
    await gate.kill();
    const starting = gate.start().catch(() => {});
    await sleep(random() * 1_000);
    await gate.kill();
    await starting;
    await gate.start();
  },
  "SIGTERM PulseGate": async ({ gate }) => {
    await gate.terminate();
    await gate.start();
  },
  "stop PostgreSQL": async ({ postgres, proxy }, random) => {
    proxy.refuse(true);
    await signalPostmaster(postgres, "SIGINT");
    await sleep(500 + random() * 2_000);
    proxy.refuse(false);
  },
  "kill -9 PostgreSQL": async ({ postgres }, random) => {
    await signalPostmaster(postgres, "SIGKILL");
    await sleep(random() * 1_000);
  },
  "freeze PostgreSQL": async ({ postgres }, random) => {
    const pids = await processesOf(postgres);
    for (const pid of pids) signal(pid, "SIGSTOP");
    await sleep(500 + random() * 4_000);
    for (const pid of pids) signal(pid, "SIGCONT");
  },
  "cut connections": async ({ proxy }, random) => {
    for (let i = 0; i < 5; i++) {
      proxy.cut();
      await sleep(random() * 200);
    }
  },
  "cut connections before the reply": async ({ proxy }, random) => {
    for (let i = 0; i < 5; i++) {
      proxy.cutBeforeReply();
      await sleep(random() * 200);
    }
  },
  "stall connections": async ({ proxy }, random) => {
    proxy.stall(true);
    await sleep(500 + random() * 4_000);
    proxy.stall(false);
  },
  "slow connections": async ({ proxy }, random) => {
    proxy.delay(10 + random() * 100);
    await sleep(1_000 + random() * 1_000);
    proxy.delay(0);
  },
  "half-close connections": async ({ proxy }, random) => {
    proxy.halfClose();
    await sleep(random() * 500);
  },
};

export interface NemesisOptions {
  readonly victims: Victims;
  readonly random: Random;
  readonly seconds: number;
  readonly onHarm: (name: string) => void;
  /** Ends it early, after the harm that is being done. */
  readonly signal?: AbortSignal | undefined;
}

/** Does harm of every kind, in an order by seed, until the time is over. Everything is whole again when it resolves. */
export async function harm({ victims, random, seconds, onHarm, signal }: NemesisOptions): Promise<void> {
  const until = performance.now() + seconds * 1_000;
  for (;;) {
    for (const [name, act] of shuffled(Object.entries(HARMS), random)) {
      if (performance.now() >= until || signal?.aborted === true) return;
      onHarm(name);
      await act(victims, random);
      await sleep(200 + random() * 800);
    }
  }
}

function shuffled<T>(items: readonly T[], random: Random): T[] {
  return items
    .map((item) => ({ item, at: random() }))
    .sort((a, b) => a.at - b.at)
    .map(({ item }) => item);
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
