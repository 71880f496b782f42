import type { Job } from "./jobs.ts";
import type { IngestionLog, LaneId, LaneStore, LetterId, Stream, StreamKey } from "./log.ts";
import { laneKey, streamKey } from "./log.ts";

/** What is kept of one tenant's events, and for how long. */
export interface RetentionRule {
  /** Settled events are kept at least so long. */
  readonly ageMs: number;
  /** Of all of the tenant's events, about so many bytes are kept, the newest; undefined: as many as there are. */
  readonly bytesMax?: number | undefined;
  /** Dead letters are kept so long; undefined: until they are redriven or discarded. */
  readonly deadLetterAgeMs?: number | undefined;
  /** What gives way when there is no room: what comes in, or what has waited longest. */
  readonly whenFull: "refuse" | "drop_oldest";
}

export interface TrimOptions {
  readonly log: Pick<
    IngestionLog,
    | "lanes"
    | "jobLanes"
    | "loadLane"
    | "dropLane"
    | "bounds"
    | "knownStreams"
    | "seek"
    | "seekBytes"
    | "storedBytes"
    | "passOver"
    | "trim"
    | "diskUse"
    | "deadLetters"
    | "discard"
  >;
  /** Those that have not ended: what they still want to deliver again stays. */
  readonly jobs: () => Promise<readonly Pick<Job, "lanes">[]>;
  readonly rule: (tenantId: string) => RetentionRule;
  /** Milliseconds since the epoch. */
  readonly now: number;
  /** Told, tenant by tenant, of the bytes that stay. */
  readonly stored: (bytes: ReadonlyMap<string, number>) => void;
  /** Told of what lanes had not settled and never will. */
  readonly dropped: (passed: PassedOver) => void;
}

/** What a lane was moved past without settling it. */
export interface PassedOver {
  readonly lane: LaneId;
  readonly events: number;
}

/** Reasons in the ledger: `filtered` by these. */
export const DROPPED_OLDEST = "dropped_oldest";
export const LETTER_EXPIRED = "expired";

/** Of what the log may take up: there the oldest begin to go, and they go down to there. */
const NEAR_SHARE = 0.85;
const ENOUGH_SHARE = 0.7;

/**
 * Lets go of events that are older than their retention, or beyond its bytes. What a lane has not settled and
 * what a job wants stays, except for bytes where `drop_oldest` says otherwise. Where there is no lane, for want
 * of a sink or because the tenant is gone, age and bytes alone count. Dead letters go by their own age.
 */
export async function trimOnce(options: TrimOptions): Promise<void> {
  const { log, rule, now } = options;
  const free = await freeByStream(options);
  const byTenant = Map.groupBy(await log.knownStreams(), ({ tenantId }) => tenantId);
  for (const [tenantId, streams] of byTenant) {
    const { ageMs, bytesMax } = rule(tenantId);
    for (const stream of streams) {
      const old = await log.seek(stream, now - ageMs);
      await log.trim(stream, Math.min(free(stream), old));
    }
    if (bytesMax !== undefined) await cutTo(options, { streams, bytes: bytesMax, free });
    await expireLetters(options, tenantId);
  }
  await forgetJobLanes(options);
  options.stored(await sizesByTenant(log, byTenant));
}

/**
 * Makes room near the bound of the log's storage: of the tenants whose policy is `drop_oldest`, those that take
 * up the most are cut to one level, settled or not. Does nothing while what went before is still being freed.
 */
export async function makeRoom(options: TrimOptions): Promise<void> {
  const { log, rule } = options;
  const use = await log.diskUse();
  if (use?.fullAtBytes === undefined || use.isFreeing || use.usedBytes < use.fullAtBytes * NEAR_SHARE) return;
  const byTenant = Map.groupBy(await log.knownStreams(), ({ tenantId }) => tenantId);
  const sizes = await sizesByTenant(log, byTenant);
  const droppable = new Map([...sizes].filter(([tenantId]) => rule(tenantId).whenFull === "drop_oldest"));
  // Names, checksums and the like take up room as well: of an excess on disk, events are only a part.
  const excess = (1 - (use.fullAtBytes * ENOUGH_SHARE) / use.usedBytes) * sum([...sizes.values()]);
  const level = levelFor([...droppable.values()], excess);
  const free = await freeByStream(options);
  for (const [tenantId, bytes] of droppable)
    if (bytes > level) await cutTo(options, { streams: byTenant.get(tenantId) ?? [], bytes: level, free });
}

/** To what all larger sizes must be cut so that the excess is gone; 0 when it can't be. */
function levelFor(sizes: readonly number[], excess: number): number {
  const sorted = sizes.toSorted((a, b) => b - a);
  let left = excess;
  for (const [i, size] of sorted.entries()) {
    const drop = (size - (sorted[i + 1] ?? 0)) * (i + 1);
    if (drop >= left) return size - left / (i + 1);
    left -= drop;
  }
  return 0;
}

interface Cut {
  /** Of one tenant. */
  readonly streams: readonly Stream[];
  readonly bytes: number;
  readonly free: (stream: Stream) => number;
}

/** Each stream gives up its share. */
async function cutTo(options: TrimOptions, { streams, bytes, free }: Cut): Promise<void> {
  const { log, rule } = options;
  const sizes = await sizesOf(log, streams);
  const all = sum(sizes);
  if (all <= bytes) return;
  for (const [i, stream] of streams.entries()) {
    const before = await log.seekBytes(stream, (bytes * (sizes[i] as number)) / all);
    if (before > free(stream) && rule(stream.tenantId).whenFull === "drop_oldest")
      await drop(options, { stream, before });
    else await log.trim(stream, Math.min(before, free(stream)));
  }
}

async function sizesByTenant(
  log: Pick<IngestionLog, "storedBytes">,
  byTenant: ReadonlyMap<string, readonly Stream[]>,
): Promise<Map<string, number>> {
  const sizes = new Map<string, number>();
  for (const [tenantId, streams] of byTenant) sizes.set(tenantId, sum(await sizesOf(log, streams)));
  return sizes;
}

function sizesOf(log: Pick<IngestionLog, "storedBytes">, streams: readonly Stream[]): Promise<number[]> {
  return Promise.all(streams.map((stream) => log.storedBytes(stream)));
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((all, one) => all + one, 0);
}

async function drop(
  { log, jobs, now, dropped }: TrimOptions,
  { stream, before }: { readonly stream: Stream; readonly before: number },
): Promise<void> {
  const live = (await log.lanes(stream.tenantId)).map(({ lane }) => ({ lane, to: Number.POSITIVE_INFINITY }));
  // Those of redrives want dead letters, not the log's events.
  const ofJobs = (await jobs()).flatMap(({ lanes }) => lanes.filter(({ of }) => of === undefined));
  const key = streamKey(stream);
  for (const { lane, to } of [...live, ...ofJobs]) {
    if (streamKey(lane.stream) !== key) continue;
    const events = await log.passOver(lane, Math.min(before, to), { at: now, reason: DROPPED_OLDEST });
    if (events > 0) dropped({ lane, events });
  }
  await log.trim(stream, before);
}

/** Stream → the first sequence that a lane has not settled or a job still needs. */
async function freeByStream(options: Pick<TrimOptions, "log" | "jobs">): Promise<(stream: Stream) => number> {
  // Jobs first: one that ends meanwhile holds back more than it must, never less.
  const held = await heldByJobs(options);
  const settled = settledByStream(await options.log.lanes());
  return (stream) => {
    const key = streamKey(stream);
    return Math.min(settled.get(key) ?? Number.POSITIVE_INFINITY, held.get(key) ?? Number.POSITIVE_INFINITY);
  };
}

/** Dead letters hold their events themselves. */
async function heldByJobs({ log, jobs }: Pick<TrimOptions, "log" | "jobs">): Promise<Map<StreamKey, number>> {
  const held = new Map<StreamKey, number>();
  for (const { lanes } of await jobs()) {
    for (const { lane, of, from, to } of lanes) {
      if (of !== undefined) continue;
      const at = (await log.loadLane(lane))?.cursor ?? from;
      const key = streamKey(lane.stream);
      if (at < to) held.set(key, Math.min(at, held.get(key) ?? at));
    }
  }
  return held;
}

/** Every lane has settled what lies before it; one whose sink is gone counts too: it goes on if the sink comes back. */
function settledByStream(lanes: Awaited<ReturnType<LaneStore["lanes"]>>): Map<StreamKey, number> {
  const settled = new Map<StreamKey, number>();
  for (const { lane, state } of lanes) {
    const key = streamKey(lane.stream);
    settled.set(key, Math.min(settled.get(key) ?? Number.POSITIVE_INFINITY, state.cursor));
  }
  return settled;
}

const LETTERS_AT_ONCE = 200;

/** Those that died, the last time, before their age; what was accepted after it can't have. */
async function expireLetters({ log, rule, now }: TrimOptions, tenantId: string): Promise<void> {
  const { deadLetterAgeMs } = rule(tenantId);
  if (deadLetterAgeMs === undefined) return;
  const before = now - deadLetterAgeMs;
  let after: LetterId | undefined;
  do {
    const page = await log.deadLetters({ tenantId, receivedTo: before, after, limit: LETTERS_AT_ONCE });
    const expired = page.filter(({ diedAt }) => diedAt < before);
    if (expired.length > 0) await log.discard(expired, { at: now, reason: LETTER_EXPIRED });
    after = page.length < LETTERS_AT_ONCE ? undefined : page.at(-1);
  } while (after !== undefined);
}

/**
 * Forgets the lanes of jobs that have ended once all that they came to is gone from the log: there is nothing left
 * that they could tell of. One that has dead letters stays until those are redriven, discarded or expired.
 */
async function forgetJobLanes({ log, jobs }: Pick<TrimOptions, "log" | "jobs">): Promise<void> {
  // The lanes first: the job of one that is listed is known by then.
  const stored = await log.jobLanes();
  const wanted = new Set((await jobs()).flatMap(({ lanes }) => lanes.map(({ lane }) => laneKey(lane))));
  for (const { lane, state } of stored) {
    if (wanted.has(laneKey(lane)) || state.dead > 0) continue;
    if (state.cursor <= (await log.bounds(lane.stream)).first) await log.dropLane(lane);
  }
}
