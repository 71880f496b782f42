/** Finding one's way among a million dead letters of the embedded log: pages and groups, and what keeping them costs. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { encodeParts } from "../core/canonical/codec.ts";
import { type DeadLetter, type DeadLetterQuery, type LaneId, slotOf } from "../core/ingestion/log.ts";
import { type EmbeddedLog, openEmbeddedLog } from "../drivers/embedded/index.ts";
import { systemClock } from "../observability/system-clock.ts";
import type { IngestOptions } from "./ingest.ts";
import { median, round } from "./lib/stats.ts";

const LETTERS = 1_000_000;
const PER_COMMIT = 1_000;
const PAGE = 50;
const LANE: LaneId = { stream: { tenantId: "bench", partition: 0 }, sink: "raw" };
const QUIET = { debug() {}, info() {}, warn() {}, error() {} };
const NO_METRICS = { commit() {}, dedup() {}, failed() {}, alarm() {} };
const T0 = Date.UTC(2026, 0, 1);

export async function deadLetters({ rounds, seconds }: IngestOptions): Promise<unknown> {
  const dir = mkdtempSync(join(tmpdir(), "pulsegate-bench-letters-"));
  // A quick look takes fewer.
  const letters = seconds < 5 ? LETTERS / 10 : LETTERS;
  try {
    const options = { path: join(dir, "data"), clock: systemClock, logger: QUIET, metrics: NO_METRICS };
    let log = await openEmbeddedLog(options);
    const started = performance.now();
    await fill(log, letters);
    const filledSeconds = (performance.now() - started) / 1000;
    await log.close();
    log = await openEmbeddedLog(options);
    const figures = await measure(log, { rounds, letters });
    await log.close();
    return { letters, keptPerSecond: round(letters / filledSeconds), ...figures };
  } finally {
    rmSync(dir, { recursive: true });
  }
}

/** One failure in a thousand is of another kind, so that there is something to search for. */
async function fill(log: EmbeddedLog, letters: number): Promise<void> {
  await log.openLane(LANE, 0);
  for await (const held of (await log.claims("bench")).held(new AbortController().signal)) {
    const claim = held.find(({ slot }) => slot === slotOf(LANE.stream));
    if (claim === undefined) continue;
    for (let from = 0; from < letters; from += PER_COMMIT) {
      const to = from + PER_COMMIT;
      const exceptions = [{ from, to, outcome: "dead" as const }];
      const settlement = { from, to, exceptions, configRevision: 1, settledAt: T0 + to };
      const deadLetters = Array.from({ length: PER_COMMIT }, (_, i) => letterOf(from + i));
      const [result] = await log.commit([{ lane: LANE, claim, settlement, deadLetters }]);
      if (result?.status === "rejected") throw result.reason;
    }
    return;
  }
}

function letterOf(sequence: number): DeadLetter {
  const eventId = `0197f3a0-0000-7000-8000-${String(sequence).padStart(12, "0")}`;
  const isRare = sequence % 1_000 === 7;
  return {
    lane: LANE,
    sequence,
    eventId,
    eventType: `type_${sequence % 20}`,
    receivedAt: T0 + sequence,
    diedAt: T0 + sequence + 100,
    stage: "sink postgres_sink",
    code: isRare ? "23502" : "23514",
    message: "new row violates a constraint",
    fingerprint: isRare ? "00000000000000ff" : `00000000000000${String(sequence % 30).padStart(2, "0")}`,
    attempts: [{ at: T0 + sequence + 90, reason: "23514: new row violates a constraint" }],
    configRevision: 1,
    plugins: { postgres_sink: "1.0.0" },
    bytes: encodeParts({
      eventId,
      tenantId: "bench",
      eventType: "type_1",
      source: "http",
      payload: Buffer.from(JSON.stringify({ text: "x".repeat(250) })),
    }),
  };
}

async function measure(log: EmbeddedLog, { rounds, letters }: { rounds: number; letters: number }) {
  const middle = T0 + letters / 2;
  const queries: Record<string, Omit<DeadLetterQuery, "limit">> = {
    firstPageMs: {},
    lastPagesMs: { after: { lane: LANE, sequence: letters - PAGE } },
    byFingerprintMs: { fingerprint: "00000000000000ff" },
    byTypeAndTimeMs: { eventType: "type_3", receivedFrom: middle, receivedTo: middle + 1_000 },
    byStageMs: { stage: "sink postgres_sink" },
  };
  const figures: Record<string, number> = {};
  for (const [name, query] of Object.entries(queries))
    figures[name] = await medianMs(rounds, () => log.deadLetters({ ...query, limit: PAGE }));
  figures.groupsMs = await medianMs(rounds, () => log.deadLetterGroups({}));
  // Nearly all of them, in a range that no counter covers.
  const range = { receivedFrom: T0 + 1, receivedTo: T0 + letters - 1 };
  figures.groupsInTimeMs = await medianMs(rounds, () => log.deadLetterGroups(range));
  return figures;
}

async function medianMs(rounds: number, call: () => Promise<readonly unknown[]>): Promise<number> {
  const times: number[] = [];
  for (let i = 0; i < rounds; i++) {
    const started = performance.now();
    if ((await call()).length === 0) throw new Error("nothing was found");
    times.push(performance.now() - started);
  }
  return round(median(times));
}
