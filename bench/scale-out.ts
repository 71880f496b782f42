/**
 * Many workers over one Redis: how soon one is replaced that is killed, stopped or frozen, what a new one takes
 * from the others, and how delivery grows with them. Default lease (10 s); one worker thread in each process.
 */
import { setTimeout as pause } from "node:timers/promises";
import { encodeParts } from "../core/canonical/codec.ts";
import type { AppendEntry } from "../core/ingestion/log.ts";
import type { IngestOptions } from "./ingest.ts";
import { createFleet, type Fleet, tenantYaml } from "./lib/fleet.ts";
import { median, round, spread } from "./lib/stats.ts";

const PARTITIONS = 64;
const TENANT = "bench";
const POLL_MS = 5;
const FROZEN_MS = 30_000;
const SETTLE_MS_MAX = 120_000;
const TRICKLE_MS = 10;
/** Each worker has one connection to a sink that takes 5 ms for a batch of ten. */
const SLOW_SINK = { latencyMs: 5, batch: 10, inFlightMax: 1 };
const WORKERS = 4;
const OWED = { takeoverMsMax: 10_000, handOverMsMax: 1_000, ratioMin: 3.5 };

const PARTS = {
  takeover: ({ rounds }: IngestOptions) => changes({ rounds, how: "SIGKILL" }),
  handOver: ({ rounds }: IngestOptions) => changes({ rounds: rounds * 6, how: "SIGTERM" }),
  frozen,
  joining,
  scaling,
} as const;

export async function scaleOut(options: IngestOptions): Promise<unknown> {
  const { rounds, seconds } = options;
  const report: Record<string, unknown> = { rounds, seconds, owed: OWED };
  for (const [name, part] of Object.entries(PARTS)) {
    if (options.parts !== undefined && options.parts.length > 0 && !options.parts.includes(name)) continue;
    report[name] = await part(options);
    console.error(`  ${name} ${JSON.stringify(report[name])}`);
  }
  return report;
}

async function inFleet<T>(
  sink: { readonly latencyMs: number; readonly batch: number; readonly inFlightMax?: number },
  run: (fleet: Fleet) => Promise<T>,
): Promise<T> {
  const fleet = await createFleet((sha256) => tenantYaml({ id: TENANT, sha256, partitions: PARTITIONS, sink }));
  try {
    return await run(fleet);
  } finally {
    await fleet.stop();
  }
}

let count = 0;

/** Events one by one through all partitions. */
function entries(events: number): AppendEntry[] {
  return Array.from({ length: events }, () => {
    const n = count++;
    const eventId = `event-${n}`;
    const payload = Buffer.from(`{"n":${n},"note":"${"x".repeat(200)}"}`);
    const bytes = encodeParts({ eventId, tenantId: TENANT, eventType: "order_paid", source: "http", payload });
    return { stream: { tenantId: TENANT, partition: n % PARTITIONS }, eventId, bytes };
  });
}

/** The longest that an event waited for its delivery when one of two workers went, in each round. */
async function changes({ rounds, how }: { rounds: number; how: "SIGKILL" | "SIGTERM" }): Promise<unknown> {
  return inFleet({ latencyMs: 0, batch: 100 }, async (fleet) => {
    let [gone, stays] = await Promise.all([fleet.start("worker"), fleet.start("worker")]);
    const longest: number[] = [];
    for (let i = 0; i < rounds; i++) {
      await fleet.log.append(entries(PARTITIONS));
      await settled(fleet);
      longest.push(await longestWait(fleet, () => gone.stop(how)));
      [gone, stays] = [stays, await fleet.start("worker")];
    }
    const { median: middle, max } = spread(longest);
    return { rounds, longestWaitMs: { median: Math.round(middle), max: Math.round(max) } };
  });
}

/** Events keep coming, one for each partition in turn, from before the change until all is settled after it. */
async function longestWait(fleet: Fleet, change: () => Promise<unknown>): Promise<number> {
  const changed = change();
  const appended = new Map<string, number>();
  let longest = 0;
  let isChanged = false;
  void changed.finally(() => {
    isChanged = true;
  });
  for (let rounds = 0; ; rounds++) {
    if (!isChanged || rounds < PARTITIONS / 8) {
      const at = performance.now();
      for (const [i, one] of (await fleet.log.append(entries(8))).entries()) {
        if (one.type === "appended") appended.set(`${(count - 8 + i) % PARTITIONS}/${one.sequence}`, at);
      }
    }
    const now = performance.now();
    for (const { lane, state } of await fleet.log.lanes(TENANT)) {
      for (const [place, at] of appended) {
        const [partition, sequence] = place.split("/").map(Number) as [number, number];
        if (partition !== lane.stream.partition || sequence >= state.cursor) continue;
        longest = Math.max(longest, now - at);
        appended.delete(place);
      }
    }
    if (isChanged && appended.size === 0 && rounds >= PARTITIONS / 8) return longest;
    await pause(TRICKLE_MS);
  }
}

/** A worker stands still for 30 s with batches under way; when it goes on it must not commit. */
async function frozen(): Promise<unknown> {
  return inFleet(SLOW_SINK, async (fleet) => {
    const [stale] = await Promise.all([fleet.start("worker"), fleet.start("worker")]);
    const stop = new AbortController();
    const load = trickle(fleet, stop.signal);
    await pause(1_000);
    stale.child.kill("SIGSTOP");
    const before = await delivered(fleet);
    await pause(FROZEN_MS);
    const during = (await delivered(fleet)) - before;
    stale.child.kill("SIGCONT");
    await pause(1_000);
    stop.abort();
    await load;
    await settled(fleet);
    return {
      frozenMs: FROZEN_MS,
      deliveredMeanwhile: during,
      imbalance: await imbalance(fleet),
      fencedLanes: stale.fencedLanes(),
    };
  });
}

async function trickle(fleet: Fleet, signal: AbortSignal): Promise<void> {
  while (!signal.aborted) {
    await fleet.log.append(entries(PARTITIONS));
    await pause(TRICKLE_MS * 10);
  }
}

/** Events of every lane that its counters do not account for. */
async function imbalance(fleet: Fleet): Promise<number> {
  let sum = 0;
  for (const { state } of await fleet.log.lanes(TENANT)) {
    sum += Math.abs(state.cursor - state.start - state.delivered - state.dead - state.erased);
  }
  return sum;
}

/** Slots that change hands between workers that stay, and those that a third takes. */
async function joining(): Promise<unknown> {
  return inFleet({ latencyMs: 0, batch: 100 }, async (fleet) => {
    await Promise.all([fleet.start("worker"), fleet.start("worker")]);
    const before = await owners(fleet);
    await fleet.start("worker");
    const known = new Set(before.values());
    await until(async () => {
      const now = await owners(fleet);
      return now.size === before.size && new Set(now.values()).size > known.size;
    });
    const after = await stable(fleet);
    const moved = [...after].filter(([slot, owner]) => owner !== before.get(slot));
    return {
      slots: before.size,
      taken: moved.filter(([, owner]) => !known.has(owner)).length,
      movedBetweenOthers: moved.filter(([, owner]) => known.has(owner)).length,
      evenShare: round(before.size / 3),
    };
  });
}

async function owners(fleet: Fleet): Promise<Map<string, string>> {
  return new Map(Object.entries(await fleet.redis.admin.hgetall("{pg:c}:owners")));
}

/** The owners once they have not changed for a second. */
async function stable(fleet: Fleet): Promise<Map<string, string>> {
  for (let last = ""; ; await pause(1_000)) {
    const now = await owners(fleet);
    const text = JSON.stringify([...now].toSorted(([a], [b]) => Number(a) - Number(b)));
    if (text === last) return now;
    last = text;
  }
}

/** How fast a backlog is delivered by one worker and by four. */
async function scaling({ rounds, seconds }: IngestOptions): Promise<unknown> {
  const rates: Array<{ one: number; all: number }> = [];
  for (let i = 0; i < rounds; i++) rates.push({ one: await rateOf(1, seconds), all: await rateOf(WORKERS, seconds) });
  const ratios = spread(rates.map(({ one, all }) => all / one));
  return {
    workers: WORKERS,
    sink: SLOW_SINK,
    oneWorkerPerSecond: round(median(rates.map(({ one }) => one))),
    allWorkersPerSecond: round(median(rates.map(({ all }) => all))),
    ratio: { median: round(ratios.median), min: round(ratios.min), max: round(ratios.max) },
  };
}

/** More than a worker delivers until all of them run and the time is over. */
const BACKLOG_EACH = 30_000;

/** Delivered per second by so many workers, from when all of them have their slots, with a backlog all the time. */
async function rateOf(workers: number, seconds: number): Promise<number> {
  return inFleet(SLOW_SINK, async (fleet) => {
    // The lanes are there from here on.
    await (await fleet.start("admin")).stop();
    const backlog = workers * BACKLOG_EACH;
    for (let left = backlog; left > 0; left -= 2_000) await fleet.log.append(entries(2_000));
    await Promise.all(Array.from({ length: workers }, () => fleet.start("worker")));
    await until(async () => new Set((await owners(fleet)).values()).size === workers);
    const before = await delivered(fleet);
    const startedAt = performance.now();
    await pause(seconds * 1_000);
    const after = await delivered(fleet);
    const rate = (after - before) / ((performance.now() - startedAt) / 1_000);
    if (after === backlog) throw new Error("the backlog was gone before the time was over");
    return rate;
  });
}

async function delivered(fleet: Fleet): Promise<number> {
  return (await fleet.log.lanes(TENANT)).reduce((sum, { state }) => sum + state.delivered, 0);
}

async function settled(fleet: Fleet): Promise<void> {
  const ends = new Map<number, number>();
  for (let partition = 0; partition < PARTITIONS; partition++) {
    ends.set(partition, (await fleet.log.bounds({ tenantId: TENANT, partition })).end);
  }
  await until(async () =>
    (await fleet.log.lanes(TENANT)).every(({ lane, state }) => state.cursor === ends.get(lane.stream.partition)),
  );
}

async function until(isSo: () => Promise<boolean>): Promise<void> {
  const end = performance.now() + SETTLE_MS_MAX;
  while (!(await isSo())) {
    if (performance.now() > end) throw new Error("the workers did not come to it");
    await pause(POLL_MS);
  }
}
