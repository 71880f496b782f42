/**
 * The log in Redis, `appendfsync always`: the door beside a bare node:http echo, appends beside what
 * `redis-benchmark` does with plain XADD at the same depth, reading and committing, many tenants.
 */
import { execFile } from "node:child_process";
import { setTimeout as pause } from "node:timers/promises";
import { promisify } from "node:util";
import { post } from "./ingest.ts";
import type { IngestOptions } from "./ingest.ts";
import { ndjson } from "./lib/events.ts";
import { createFleet, type Fleet, tenantYaml } from "./lib/fleet.ts";
import { startEcho } from "./lib/pulsegate.ts";
import { usage } from "./lib/process.ts";
import { median, round, spread } from "./lib/stats.ts";
import { wrk } from "./lib/wrk.ts";
import { entryMaker } from "./log-tools.ts";

const LINES = 100;
const LINE_BYTES = 250;
const EVENT_BYTES = 1_024;
/** Callers that wait for their acknowledgement, and commands in one pipeline of `redis-benchmark`. */
const DEPTHS = [64, 256] as const;
const TENANTS_MANY = 10_000;
const BACKLOG = 400_000;
const IDLE_MS = 70_000;
const SHORT_IDLE_MS = 10_000;
const OWED = {
  postRatioMin: 0.5,
  appendRatioMin: 0.5,
  batchedRatioMin: 2,
  deliveredPerCoreSecondMin: 100_000,
  tenantsCpuRatioMax: 1.3,
  idleCoreShareMax: 0.02,
};

const PARTS = { door, appends, delivery, tenants, idle } as const;

export async function redis(options: IngestOptions): Promise<unknown> {
  const { rounds, seconds } = options;
  const report: Record<string, unknown> = {
    rounds,
    seconds,
    durability: "appendonly yes, appendfsync always",
    owed: OWED,
  };
  for (const [name, part] of Object.entries(PARTS)) {
    if (options.parts !== undefined && options.parts.length > 0 && !options.parts.includes(name)) continue;
    report[name] = await part(options);
    console.error(`  ${name} ${JSON.stringify(report[name])}`);
  }
  return report;
}

/** Events over HTTP: singly beside the echo, and in batches beside the single ones and plain XADD. */
async function door(options: IngestOptions): Promise<Record<string, unknown>> {
  const echo = await startEcho();
  const fleet = await createFleet((sha256) => tenantYaml({ id: "bench", sha256 }));
  try {
    const api = await fleet.start("api");
    const gate = { ...api, headers: fleet.headers, helperPids: [fleet.redisPid] };
    const results: Record<string, unknown> = {};
    for (const connections of [64, 256]) {
      results[`post1KB_${connections}`] = await post(echo, gate, { ...options, connections });
    }
    results["ndjson"] = await batches(fleet, api, options);
    return results;
  } finally {
    await fleet.stop();
    await echo.stop();
  }
}

async function batches(
  { headers, redis: server, redisPid }: Fleet,
  { url, pid }: { readonly url: string; readonly pid: number },
  { rounds, seconds }: IngestOptions,
): Promise<unknown> {
  const body = ndjson(LINES, LINE_BYTES);
  const load = {
    url: `${url}/v1/events/batch`,
    body,
    headers: { ...headers, "Content-Type": "application/x-ndjson" },
    connections: 16,
    seconds,
  };
  await wrk({ ...load, seconds: 1 });
  const samples: Array<{ rate: number; xadd: number; gate: number; redis: number }> = [];
  for (let i = 0; i < rounds; i++) {
    const xadd = await plainXadd({ port: server.port, depth: 64, bytes: LINE_BYTES, seconds });
    const before = [usage(pid).cpuSeconds, usage(redisPid).cpuSeconds] as const;
    const { rate, answers, failures } = await wrk(load);
    if (failures > 0) throw new Error(`${failures} batches failed`);
    const micros = (seconds: number): number => (seconds * 1e6) / (answers * LINES);
    samples.push({
      rate: rate * LINES,
      xadd,
      gate: micros(usage(pid).cpuSeconds - before[0]),
      redis: micros(usage(redisPid).cpuSeconds - before[1]),
    });
  }
  return {
    eventsPerSecond: round(median(samples.map(({ rate }) => rate))),
    xaddPerSecond: round(median(samples.map(({ xadd }) => xadd))),
    ratioToXadd: round(median(samples.map(({ rate, xadd }) => rate / xadd))),
    apiCpuMicrosPerEvent: round(median(samples.map(({ gate }) => gate))),
    redisCpuMicrosPerEvent: round(median(samples.map((sample) => sample.redis))),
  };
}

/** `redis-benchmark`: one connection, so many commands in its pipeline, random ids; entries per second. */
async function plainXadd(load: { port: number; depth: number; bytes: number; seconds: number }): Promise<number> {
  const { port, depth, bytes, seconds } = load;
  const events = 10_000 * Math.max(1, seconds);
  const where = ["-p", String(port), "-c", "1", "-P", String(depth), "-n", String(events), "--csv"];
  const command = ["XADD", "xadd-bench", "*", "e", "x".repeat(bytes)];
  const { stdout } = await promisify(execFile)("redis-benchmark", [...where, ...command]);
  const rate = Number(/^"[^"]*","([\d.]+)"/m.exec(stdout.split("\n").slice(1).join("\n"))?.[1]);
  if (!(rate > 0)) throw new Error(`redis-benchmark gave no rate:\n${stdout}`);
  return rate;
}

/** Appends through the driver in this process, each caller waiting for its answer. */
async function appends({ rounds, seconds }: IngestOptions): Promise<unknown> {
  const fleet = await createFleet((sha256) => tenantYaml({ id: "bench", sha256 }));
  try {
    const results: Record<string, unknown> = {};
    for (const depth of DEPTHS) {
      const samples: Array<Appending & { xadd: number }> = [];
      const make = entryMaker({ bytes: EVENT_BYTES, tenants: 1 });
      await appendFor(fleet, { make, depth, seconds: 1 });
      for (let i = 0; i < rounds; i++) {
        const xadd = await plainXadd({ port: fleet.redis.port, depth, bytes: EVENT_BYTES, seconds });
        samples.push({ ...(await appendFor(fleet, { make, depth, seconds })), xadd });
      }
      results[`depth_${depth}`] = {
        perSecond: round(median(samples.map(({ rate }) => rate))),
        xaddPerSecond: round(median(samples.map(({ xadd }) => xadd))),
        ratio: round(median(samples.map(({ rate, xadd }) => rate / xadd))),
        driverCpuMicrosEach: round(median(samples.map(({ ownMicros }) => ownMicros))),
        redisCpuMicrosEach: round(median(samples.map(({ redisMicros }) => redisMicros))),
      };
      await fleet.redis.admin.del("xadd-bench");
    }
    return results;
  } finally {
    await fleet.stop();
  }
}

interface Appending {
  readonly rate: number;
  readonly ownMicros: number;
  readonly redisMicros: number;
}

async function appendFor(
  { log, redisPid }: Fleet,
  { make, depth, seconds }: { make: ReturnType<typeof entryMaker>; depth: number; seconds: number },
): Promise<Appending> {
  let events = 0;
  const startedAt = performance.now();
  const end = startedAt + seconds * 1_000;
  const before = { own: process.cpuUsage(), redis: usage(redisPid).cpuSeconds };
  await Promise.all(
    Array.from({ length: depth }, async () => {
      while (performance.now() < end) {
        await log.append([make()]);
        events++;
      }
    }),
  );
  const own = process.cpuUsage(before.own);
  return {
    rate: events / ((performance.now() - startedAt) / 1_000),
    ownMicros: (own.user + own.system) / events,
    redisMicros: ((usage(redisPid).cpuSeconds - before.redis) * 1e6) / events,
  };
}

/** A worker with one thread and a backlog: all of its CPU time for each event that it reads and commits. */
async function delivery({ rounds, seconds }: IngestOptions): Promise<unknown> {
  const samples: Array<{ rate: number; micros: number; redisMicros: number }> = [];
  const backlog = seconds < 5 ? BACKLOG / 4 : BACKLOG;
  for (let i = 0; i < rounds; i++) {
    const sink = { latencyMs: 0, batch: 1_000 };
    const fleet = await createFleet((sha256) => tenantYaml({ id: "tenant_0", sha256, sink }));
    try {
      // The lane is there from here on.
      await (await fleet.start("admin")).stop();
      const make = entryMaker({ bytes: LINE_BYTES, tenants: 1 });
      for (let left = backlog; left > 0; left -= 2_000) await fleet.log.append(Array.from({ length: 2_000 }, make));
      samples.push(await drained(fleet, backlog));
    } finally {
      await fleet.stop();
    }
  }
  return {
    events: backlog,
    perSecond: round(median(samples.map(({ rate }) => rate))),
    workerCpuMicrosPerEvent: round(median(samples.map(({ micros }) => micros))),
    perWorkerCoreSecond: round(1e6 / median(samples.map(({ micros }) => micros))),
    redisCpuMicrosPerEvent: round(median(samples.map(({ redisMicros }) => redisMicros))),
  };
}

const POLL_MS = 10;
/** What runs is compiled by then: of a process that lives for days, the first second says nothing. */
const WARM_SHARE = 0.25;

async function drained(fleet: Fleet, backlog: number): Promise<{ rate: number; micros: number; redisMicros: number }> {
  const { pid } = await fleet.start("worker");
  const cursor = async (): Promise<number> => (await fleet.log.lanes("tenant_0"))[0]?.state.cursor ?? 0;
  let first = 0;
  while ((first = await cursor()) < backlog * WARM_SHARE) await pause(POLL_MS);
  const before = { own: usage(pid).cpuSeconds, redis: usage(fleet.redisPid).cpuSeconds, at: performance.now() };
  while ((await cursor()) < backlog) await pause(POLL_MS);
  const events = backlog - first;
  return {
    rate: events / ((performance.now() - before.at) / 1_000),
    micros: ((usage(pid).cpuSeconds - before.own) * 1e6) / events,
    redisMicros: ((usage(fleet.redisPid).cpuSeconds - before.redis) * 1e6) / events,
  };
}

/** CPU of driver and Redis for each append, of one tenant and of ten thousand, each of which has events already. */
async function tenants({ rounds, seconds }: IngestOptions): Promise<unknown> {
  const fleet = await createFleet((sha256) => tenantYaml({ id: "bench", sha256 }));
  try {
    const depth = DEPTHS[1];
    const one = entryMaker({ bytes: EVENT_BYTES, tenants: 1 });
    const many = entryMaker({ bytes: EVENT_BYTES, tenants: TENANTS_MANY, first: 1e9 });
    for (let i = 0; i < TENANTS_MANY; i += 2_000) await fleet.log.append(Array.from({ length: 2_000 }, many));
    await appendFor(fleet, { make: one, depth, seconds: 1 });
    const samples: Array<{ one: Appending; many: Appending }> = [];
    const { admin } = fleet.redis;
    // In microseconds; all that take longer than a millisecond are kept.
    await admin.config("SET", "slowlog-log-slower-than", 1_000);
    await admin.config("SET", "slowlog-max-len", 1_000_000);
    for (let i = 0; i < rounds; i++) {
      const few = await appendFor(fleet, { make: one, depth, seconds });
      samples.push({ one: few, many: await appendFor(fleet, { make: many, depth, seconds }) });
    }
    const both = ({ ownMicros, redisMicros }: Appending): number => ownMicros + redisMicros;
    const ratios = spread(samples.map((sample) => both(sample.many) / both(sample.one)));
    const middle = (of: "one" | "many", what: keyof Appending): number =>
      round(median(samples.map((sample) => sample[of][what])));
    return {
      tenants: TENANTS_MANY,
      one: { driverCpuMicrosEach: middle("one", "ownMicros"), redisCpuMicrosEach: middle("one", "redisMicros") },
      many: { driverCpuMicrosEach: middle("many", "ownMicros"), redisCpuMicrosEach: middle("many", "redisMicros") },
      ratio: { median: round(ratios.median), min: round(ratios.min), max: round(ratios.max) },
      scripts: await slowScripts(fleet),
    };
  } finally {
    await fleet.stop();
  }
}

/** How long scripts held the server, by the clock: of those over a millisecond how many took so long. */
async function slowScripts({ redis: { admin } }: Fleet): Promise<Record<string, number>> {
  const entries = (await admin.slowlog("GET", -1)) as Array<[id: number, at: number, micros: number, words: string[]]>;
  const micros = entries.filter(([, , , [command]]) => /^evalsha$/i.test(command ?? "")).map(([, , time]) => time);
  const over = (ms: number): number => micros.filter((time) => time > ms * 1_000).length;
  return { over1Ms: over(1), over2Ms: over(2), over5Ms: over(5), longestMs: round(Math.max(0, ...micros) / 1_000) };
}

/** Ten thousand tenants with a sink and an event each, and nothing to do; a minute holds every periodic duty. */
async function idle({ seconds }: IngestOptions): Promise<unknown> {
  const sink = { latencyMs: 0, batch: 100 };
  const fleet = await createFleet((sha256) =>
    // One of them has the key.
    Array.from({ length: TENANTS_MANY }, (_, i) =>
      tenantYaml({ id: `tenant_${i}`, sha256: i === 0 ? sha256 : i.toString(16).padStart(64, "0"), sink }),
    ).join(""),
  );
  try {
    const { pid } = await fleet.start("worker");
    const make = entryMaker({ bytes: LINE_BYTES, tenants: TENANTS_MANY });
    for (let i = 0; i < TENANTS_MANY; i += 2_000) await fleet.log.append(Array.from({ length: 2_000 }, make));
    const isLeft = async (): Promise<boolean> => (await fleet.log.lanes()).some(({ state }) => state.cursor === 0);
    while (await isLeft()) await pause(1_000);
    const idleMs = seconds < 5 ? SHORT_IDLE_MS : IDLE_MS;
    const before = { worker: usage(pid).cpuSeconds, redis: usage(fleet.redisPid).cpuSeconds };
    await pause(idleMs);
    const worker = (usage(pid).cpuSeconds - before.worker) / (idleMs / 1_000);
    const ofRedis = (usage(fleet.redisPid).cpuSeconds - before.redis) / (idleMs / 1_000);
    return {
      tenants: TENANTS_MANY,
      idleMs,
      worker: round(worker),
      redis: round(ofRedis),
      coreShare: round(worker + ofRedis),
    };
  } finally {
    await fleet.stop();
  }
}
