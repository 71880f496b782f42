import { type DeadLetter, type DeadLetterQuery, type IngestionLog, laneKey } from "../../core/ingestion/log.ts";
import { describe, expect, it } from "vitest";
import { LANE, OTHER, STREAM, appendMany, claimOn, commitOne, onLog } from "./log-fixtures.ts";
import type { LogUnderTest } from "./log-under-test.ts";

/** Time of acceptance of the first letter, and between two. */
const T0 = 1_769_999_000_000;
const STEP_MS = 1_000;
const LETTERS = 30;
const FINGERPRINTS = ["aaaa", "bbbb", "cccc"];
const TYPES = ["order_paid", "order_sent"];

/** Finding dead letters by kind and by time, and counting them by kind. */
export function letterKindConformance(open: () => Promise<LogUnderTest>): void {
  describe("kinds of dead letters", () => {
    it(
      "are found by stage, fingerprint, event type and time of acceptance, alone and together",
      onLog(open, async (session) => {
        const all = await mixedLetters(session.log);
        for (const filter of FILTERS) {
          const due = all.filter((letter) => isDue(letter, filter)).map(place);
          expect(await pagesOf(session.log, filter, 4), JSON.stringify(filter)).toEqual(due);
        }
        await session.reopen();
        for (const filter of FILTERS) {
          const due = all.filter((letter) => isDue(letter, filter)).map(place);
          expect(await pagesOf(session.log, filter, 100), JSON.stringify(filter)).toEqual(due);
        }
      }),
    );

    it(
      "are found in one lane alone",
      onLog(open, async ({ log }) => {
        await mixedLetters(log);
        const letters = await log.deadLetters({ lane: LANE, limit: 100 });
        expect(letters).toHaveLength(LETTERS);
        expect(letters.every(({ lane }) => laneKey(lane) === laneKey(LANE))).toBe(true);
      }),
    );

    it(
      "are counted, those of a time too, with when the first and the last of the kind died",
      onLog(open, async ({ log }) => {
        const all = await mixedLetters(log);
        for (const filter of FILTERS) {
          const due = all.filter((letter) => isDue(letter, filter));
          const groups = await log.deadLetterGroups(filter);
          expect(groups.reduce((sum, { events }) => sum + events, 0)).toBe(due.length);
          for (const group of groups) {
            const isOwn = ({ fingerprint, lane }: DeadLetter) =>
              fingerprint === group.fingerprint && lane.stream.tenantId === group.tenantId && lane.sink === group.sink;
            const own = due.filter(isOwn);
            expect(group).toMatchObject({ events: own.length });
            expect(Object.values(group.eventTypes).reduce((sum, n) => sum + n, 0)).toBe(own.length);
            // Since when: of the kind, whatever time was asked for.
            const kind = all.filter((letter) => isOwn(letter) && letter.eventType in group.eventTypes);
            const died = kind.map(({ diedAt }) => diedAt);
            expect(group).toMatchObject({ firstAt: Math.min(...died), lastAt: Math.max(...died) });
          }
        }
        expect(
          (await log.deadLetterGroups({ tenantId: STREAM.tenantId })).map(({ fingerprint }) => fingerprint),
        ).toEqual(FINGERPRINTS);
      }),
    );

    it(
      "lose what is discarded, in the same step as the ledger",
      onLog(open, async (session) => {
        await mixedLetters(session.log);
        const query = { tenantId: STREAM.tenantId, fingerprint: "aaaa" };
        const some = await session.log.deadLetters({ ...query, limit: 4 });
        const at = 1_770_000_009_000;
        expect(await session.log.discard(some, { at, reason: "discarded" })).toBe(4);
        expect(await session.log.discard(some, { at, reason: "discarded" })).toBe(0);
        await session.reopen();
        const { log } = session;
        expect(await log.loadLane(LANE)).toMatchObject({ dead: LETTERS - 4, filtered: { discarded: 4 } });
        expect(await log.deadLetters({ ...query, limit: 100 })).toHaveLength(LETTERS / 3 - 4);
        expect((await log.deadLetterGroups(query))[0]).toMatchObject({ events: LETTERS / 3 - 4 });
        const outcome = { type: "filtered", reason: "discarded" };
        expect(await log.amendment(LANE, some[0]!.sequence)).toMatchObject({
          sequence: some[0]!.sequence,
          outcome,
          at,
        });
        expect(await log.amendment(LANE, some[0]!.sequence + 1)).toBeUndefined();
        const rest = await log.deadLetters({ ...query, limit: 100 });
        await log.discard(rest, { at, reason: "discarded" });
        expect(await log.deadLetterGroups(query)).toEqual([]);
        const recount = await log.recount(LANE);
        expect(recount?.recounted).toEqual(recount?.state);
        expect(recount?.deadLetters).toBe(recount?.state.dead);
      }),
    );
  });
}

type Filter = Omit<DeadLetterQuery, "limit" | "after">;

const FILTERS: readonly Filter[] = [
  {},
  { tenantId: STREAM.tenantId },
  { fingerprint: "bbbb" },
  { fingerprint: "none" },
  { stage: "transform x" },
  { eventType: "order_sent" },
  { eventType: "order_sent", fingerprint: "aaaa", tenantId: OTHER.tenantId },
  { stage: "sink raw", eventType: "order_paid", sink: "raw" },
  { receivedFrom: T0 + 7 * STEP_MS },
  { receivedTo: T0 + 7 * STEP_MS },
  { receivedFrom: T0 + 7.5 * STEP_MS, receivedTo: T0 + 20 * STEP_MS, fingerprint: "cccc" },
  { receivedFrom: T0 + 1_000 * STEP_MS },
  { receivedTo: T0 },
];

function isDue(letter: DeadLetter, filter: Filter): boolean {
  const { receivedFrom, receivedTo, ...rest } = filter;
  const { stage, fingerprint, eventType, receivedAt, lane } = letter;
  const facts = { stage, fingerprint, eventType, tenantId: lane.stream.tenantId, sink: lane.sink };
  return (
    Object.entries(rest).every(([name, value]) => facts[name as keyof typeof facts] === value) &&
    (receivedFrom === undefined || receivedAt >= receivedFrom) &&
    (receivedTo === undefined || receivedAt < receivedTo)
  );
}

/** Letters of all kinds, with gaps between them, in two tenants' lanes. */
async function mixedLetters(log: IngestionLog): Promise<DeadLetter[]> {
  for (const stream of [STREAM, OTHER]) {
    await appendMany(log, { stream, count: 2 * LETTERS });
    const claim = await claimOn(log, stream);
    const lane = { stream, sink: "raw" };
    await log.openLane(lane, "start");
    for (let from = 0; from < 2 * LETTERS; from += 10) {
      const exceptions = [1, 3, 5, 7, 9].map((i) => ({ from: from + i, to: from + i + 1, outcome: "dead" as const }));
      await commitOne(log, { lane, claim, from, to: from + 10, exceptions, letter: kindOf });
    }
  }
  return log.deadLetters({ limit: 1_000 });
}

function kindOf(sequence: number): Partial<DeadLetter> {
  const i = (sequence - 1) / 2;
  return {
    fingerprint: FINGERPRINTS[i % 3]!,
    stage: i % 3 === 2 ? "transform x" : "sink raw",
    eventType: TYPES[i % 2]!,
    receivedAt: T0 + i * STEP_MS,
    diedAt: T0 + 60_000 + ((i * 7) % LETTERS) * STEP_MS,
  };
}

function place({ lane, sequence }: DeadLetter): string {
  return `${laneKey(lane)} ${sequence}`;
}

async function pagesOf(log: IngestionLog, filter: Filter, limit: number): Promise<string[]> {
  const seen: string[] = [];
  for (let after: DeadLetterQuery["after"]; ; ) {
    const page = await log.deadLetters({ ...filter, after, limit });
    const last = page.at(-1);
    if (last === undefined) return seen;
    seen.push(...page.map(place));
    expect(seen.length).toBeLessThanOrEqual(2 * LETTERS);
    after = { lane: last.lane, sequence: last.sequence };
  }
}
