import type { Random } from "../../core/environment.ts";
import {
  type Appended,
  type Claim,
  type IngestionLog,
  type LaneState,
  type SettlementException,
  slotOf,
} from "../../core/ingestion/log.ts";
import { describe, expect, it } from "vitest";
import { turn } from "../helpers/sim-clock.ts";
import { ALL, LANE, STREAM, appendOne, commitOf, idOf } from "./log-fixtures.ts";

/** A log that fails by seed. */
export interface FaultyLog {
  /** The newest handle. */
  readonly log: IngestionLog;
  /** The dice of the workload, by the same seed. */
  readonly random: Random;
  /** Lets waiting calls go on. */
  pass(ms: number): Promise<void>;
  /** The process dies and a new one opens the log. */
  restart(): void;
  /** Faults end. */
  heal(): void;
}

/** What must hold whatever fails: no false ack, no event twice, order, and a ledger that balances. */
export function logFaultConformance(options: { name: string; seeds: number; open: (seed: number) => FaultyLog }): void {
  describe(`log faults: ${options.name}`, () => {
    it("never acks what is not stored, never stores twice, never loses its order", async () => {
      for (let seed = 1; seed <= options.seeds; seed++) await appendsHold(options.open(seed), seed);
    });

    it("settles each event once, whoever fails or takes over", async () => {
      for (let seed = 1; seed <= options.seeds; seed++) await commitsHold(options.open(seed), seed);
    });
  });
}

const CLIENTS = 4;
const EVENTS_EACH = 6;

async function appendsHold(faulty: FaultyLog, seed: number): Promise<void> {
  const acks = new Map<string, Appended[]>();
  const clients = Array.from({ length: CLIENTS }, (_, client) => sendAll(faulty, client, acks));
  await runWithRestarts(faulty, Promise.all(clients));
  faulty.heal();
  const stored = await settled(faulty, faulty.log.read(STREAM, 0, ALL));
  const ids = stored.map(idOf);
  expect(new Set(ids).size, `seed ${seed}: an id is stored twice`).toBe(ids.length);
  expect(stored.map(({ sequence }) => sequence)).toEqual(ids.map((_, i) => i));
  const times = stored.map(({ receivedAt }) => receivedAt);
  expect(times, `seed ${seed}: received_at falls`).toEqual([...times].sort((a, b) => a - b));
  for (const [id, answers] of acks) {
    for (const answer of answers) {
      if (answer.type === "conflict") throw new Error(`seed ${seed}: ${id} conflicts with itself`);
      expect(ids[answer.sequence], `seed ${seed}: a false ack for ${id}`).toBe(id);
    }
  }
}

/** Each client sends its own events and the shared ones, some calls of which it gives up. */
async function sendAll(faulty: FaultyLog, client: number, acks: Map<string, Appended[]>): Promise<void> {
  for (let i = 0; i < EVENTS_EACH; i++) {
    const id = i % 2 === 0 ? `shared_${i}` : `client_${client}_${i}`;
    for (let tries = 0; tries < 1 + Math.floor(faulty.random() * 8); tries++) {
      const answer = await appendOne(faulty.log, { id }).catch(mayFail);
      if (answer === undefined) continue;
      acks.set(id, [...(acks.get(id) ?? []), answer]);
      break;
    }
  }
}

const EVENTS = 30;

async function commitsHold(faulty: FaultyLog, seed: number): Promise<void> {
  await runWithRestarts(faulty, settleAll(faulty));
  faulty.heal();
  const state = await settled(faulty, faulty.log.loadLane(LANE));
  if (state === undefined) throw new Error(`seed ${seed}: the lane is gone`);
  expect(state.cursor).toBe(EVENTS);
  let dead = 0;
  let filtered = 0;
  for (let at = 0; at < EVENTS; ) {
    const settlement = await settled(faulty, faulty.log.settlement(LANE, at));
    expect(settlement?.from, `seed ${seed}: settlements leave a gap or overlap at ${at}`).toBe(at);
    for (const { outcome, from, to } of settlement?.exceptions ?? []) {
      if (outcome === "dead") dead += to - from;
      else filtered += to - from;
    }
    at = settlement?.to ?? EVENTS;
  }
  const letters = await settled(faulty, faulty.log.deadLetters({ limit: 1_000 }));
  expect(letters, `seed ${seed}: dead letters and settlements differ`).toHaveLength(dead);
  expect(sums(state), `seed ${seed}: the counters and the settlements differ`).toEqual({
    dead,
    filtered,
    delivered: EVENTS - dead - filtered,
  });
}

function sums({ dead, filtered, delivered }: LaneState) {
  return { dead, delivered, filtered: Object.values(filtered).reduce((sum, count) => sum + count, 0) };
}

/** A worker that settles everything, and starts over from what is durable whenever anything fails. */
async function settleAll(faulty: FaultyLog): Promise<void> {
  for (let i = 0; i < EVENTS; i++) await insist(() => appendOne(faulty.log, { id: `e${i}` }));
  await insist(() => faulty.log.openLane(LANE, "start"));
  for (;;) {
    const state = await insist(() => faulty.log.loadLane(LANE));
    if (state === undefined || state.cursor === EVENTS) return;
    const claim = await heldClaim(faulty.log).catch(mayFail);
    if (claim !== undefined) await commitRuns(faulty, claim, state.cursor).catch(mayFail);
  }
}

async function commitRuns(faulty: FaultyLog, claim: Claim, cursor: number): Promise<void> {
  for (let from = cursor; from < EVENTS; ) {
    const to = Math.min(EVENTS, from + 1 + Math.floor(faulty.random() * 5));
    const exceptions = exceptionsAt(from, faulty.random());
    const [result] = await faulty.log.commit([commitOf({ claim, from, to, exceptions })]);
    if (result?.status === "rejected") throw result.reason;
    from = to;
  }
}

function exceptionsAt(from: number, dice: number): SettlementException[] {
  const to = from + 1;
  if (dice < 0.3) return [{ from, to, outcome: "dead" }];
  return dice < 0.5 ? [{ from, to, outcome: "filtered", reason: "bot" }] : [];
}

async function heldClaim(log: IngestionLog): Promise<Claim | undefined> {
  const claims = await log.claims("worker_1");
  for await (const held of claims.held(new AbortController().signal)) {
    const claim = held.find(({ slot }) => slot === slotOf(STREAM));
    if (claim !== undefined) return claim;
  }
  return undefined;
}

async function insist<T>(call: () => Promise<T>): Promise<T> {
  for (;;) {
    try {
      return await call();
    } catch (error) {
      mayFail(error);
    }
  }
}

/** Any other error than these three is the driver's fault. */
function mayFail(error: unknown): undefined {
  const code = (error as { code?: string }).code ?? "";
  if (!["log_unavailable", "log_full", "fenced"].includes(code)) throw error;
  return undefined;
}

async function runWithRestarts(faulty: FaultyLog, work: Promise<unknown>): Promise<void> {
  let rounds = 0;
  await settled(faulty, work, () => {
    rounds++;
    // A workload that can never end must fail, not hang.
    if (rounds > 200_000) throw new Error("the workload does not end");
    if (faulty.random() < 0.01) faulty.restart();
  });
}

/** Lets time pass until the promise settles. */
async function settled<T>(faulty: FaultyLog, work: Promise<T>, each: () => void = () => {}): Promise<T> {
  const state = { done: false };
  const watched = work.finally(() => {
    state.done = true;
  });
  watched.catch(() => {});
  await turn();
  while (!state.done) {
    each();
    await faulty.pass(1 + Math.floor(faulty.random() * 20));
  }
  return watched;
}
