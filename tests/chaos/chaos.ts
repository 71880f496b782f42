import { createHash } from "node:crypto";
import { chmod, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { checkHistory, History, type LedgerLine, type Observed } from "../helpers/history.ts";
import { startTestPostgres, type TestPostgres } from "../helpers/postgres.ts";
import { seededRandom } from "../helpers/sim-clock.ts";
import { startEmbedded } from "./embedded.ts";
import { startFailoverFleet, startFleet } from "./fleet.ts";
import { contentOf, startLoad } from "./load.ts";
import { harm } from "./nemesis.ts";
import type { World } from "./world.ts";

export interface ChaosOptions {
  /**
   * What runs: `embedded`, one process; `redis`, a fleet of processes of all roles over one server; `failover`, the
   * same over a primary that loses its place to its replica.
   */
  readonly log: keyof typeof WORLDS;
  /** How long harm is done; starting, settling and checking come on top. */
  readonly seconds: number;
  readonly seed: number;
  readonly clients?: number;
  readonly say: (line: string) => void;
  /** Ends the run early; everything that it started is ended all the same. */
  readonly signal?: AbortSignal | undefined;
}

export interface ChaosReport {
  readonly requests: History["counts"];
  readonly rows: number;
  readonly deadLetters: number;
  readonly harms: readonly string[];
  /** From the end of the harm until no event was pending. */
  readonly settleMs: number;
  /** All that went wrong, in words; empty when every promise was kept. */
  readonly violations: readonly string[];
}

const TENANTS = [
  { id: "shop", key: "key-of-shop" },
  { id: "bank", key: "key-of-bank" },
];
const CLIENTS = 8;
const SETTLE_MS_MAX = 120_000;
const POLL_MS = 200;
const PAGE = 500;
const WORLDS = { embedded: startEmbedded, redis: startFleet, failover: startFailoverFleet } as const;
const CONFIG = `tenants:
${TENANTS.map(
  ({ id, key }, i) => `  - id: ${id}
    keys: [{ id: load, sha256: ${createHash("sha256").update(key).digest("hex")} }]
    partitions: ${i + 1}
    plugins:
      sinks:
        - name: postgres_sink
          retry: { attempts: 5, backoff: 50ms..2s, timeout: 4s }
          config: { url: "\${DATABASE_URL}", table: events_${id}, statement_timeout_ms: 3000, connect_timeout_ms: 2000 }
`,
).join("")}`;

/**
 * Runs the real product under load and does it harm: every event that was acked must be in the table
 * exactly once or among the dead letters, whatever happened. Leaves nothing behind.
 */
export async function runChaos(options: ChaosOptions): Promise<ChaosReport> {
  const folder = await mkdtemp(join(tmpdir(), "pulsegate-chaos-"));
  await chmod(folder, 0o711);
  let postgres: TestPostgres | undefined;
  let world: World | undefined;
  try {
    postgres = await startTestPostgres();
    world = await WORLDS[options.log]({ folder, postgres, tenants: CONFIG });
    return await run(options, { world, postgres });
  } finally {
    await world?.close();
    await postgres?.stop();
    await rm(folder, { recursive: true, force: true, maxRetries: 5 });
  }
}

async function run(
  options: ChaosOptions,
  { world, postgres }: { readonly world: World; readonly postgres: TestPostgres },
): Promise<ChaosReport> {
  const { seed, seconds, say, signal, clients = CLIENTS } = options;
  const history = new History();
  const stop = new AbortController();
  const random = seededRandom(seed);
  const load = startLoad({ urls: world.doors, tenants: TENANTS, clients, history, random, signal: stop.signal });
  const harms: string[] = [];
  const onHarm = (name: string) => {
    harms.push(name);
    say(`${name} (${history.counts.acked} acked, ${history.counts.unknown} unanswered)`);
  };
  try {
    await harm({ harms: world.harms, random: seededRandom(seed + 1), seconds, onHarm, signal });
  } finally {
    stop.abort();
    await load.ended;
  }
  signal?.throwIfAborted();
  const healedAt = performance.now();
  const ledger = await settledLedger(world);
  const settleMs = Math.round(performance.now() - healedAt);
  say(`settled ${settleMs} ms after the last harm`);
  const rows = await rowsOf(postgres);
  const deadLetters = await deadLettersOf(world);
  const mayForget = options.log === "failover";
  const violations = [
    ...checkHistory(history, { rows, deadLetters, ledger, mayForget }).map(({ kind, detail }) => `${kind}: ${detail}`),
    ...deadLetters
      .filter(({ eventId }) => !load.poison.has(eventId))
      .map(({ eventId, code }) => `dead of ${code}: ${eventId}`),
    ...world.faults(),
  ];
  return { requests: history.counts, rows: rows.length, deadLetters: deadLetters.length, harms, settleMs, violations };
}

interface LedgerItem {
  readonly tenant: string;
  readonly partition: number;
  readonly sink: string;
  readonly accepted: number;
  readonly delivered: number;
  readonly filtered: number;
  readonly dead: number;
  readonly erased: number;
  readonly pending: number;
}

/** The ledger once nothing is pending; the one of the last moment when that never comes. */
async function settledLedger(world: World): Promise<LedgerLine[]> {
  const until = performance.now() + SETTLE_MS_MAX;
  for (;;) {
    const isLate = performance.now() > until;
    // A process that was harmed last may still be looking for its connection.
    const ledger = await world.admin<{ items: LedgerItem[] }>("ledger").catch((error: unknown) => {
      if (isLate) throw error;
    });
    const items = ledger?.items;
    if (items !== undefined && (isLate || items.every(({ pending }) => pending === 0))) return items.map(lineOf);
    await sleep(POLL_MS);
  }
}

function lineOf({ tenant, partition, sink, accepted, pending, ...counts }: LedgerItem): LedgerLine {
  return { lane: `${tenant}/${partition}/${sink}`, start: 0, cursor: accepted - pending, end: accepted, ...counts };
}

async function rowsOf(postgres: TestPostgres): Promise<{ eventId: string; content: string }[]> {
  const rows: { eventId: string; content: string }[] = [];
  for (const { id } of TENANTS) {
    const found = await postgres.query<{
      event_id: string;
      event_type: string;
      tenant_id: string;
      payload: { n: number; text: string };
    }>(`SELECT tenant_id, event_id, event_type, payload FROM events_${id}`);
    for (const { tenant_id, event_id, event_type, payload } of found) {
      rows.push({ eventId: `${tenant_id}/${event_id}`, content: contentOf({ type: event_type, ...payload }) });
    }
  }
  return rows;
}

type Letter = Observed["deadLetters"] extends Iterable<infer T> ? T & { readonly code: string } : never;

async function deadLettersOf(world: World): Promise<Letter[]> {
  const letters: Letter[] = [];
  for (let after = ""; ; ) {
    const { items, next } = await world.admin<{
      items: { tenant: string; event_id: string; code: string }[];
      next: string | null;
    }>(`dead-letters?limit=${PAGE}${after}`);
    letters.push(...items.map(({ tenant, event_id, code }) => ({ eventId: `${tenant}/${event_id}`, code })));
    if (next === null) return letters;
    after = `&after=${encodeURIComponent(next)}`;
  }
}
