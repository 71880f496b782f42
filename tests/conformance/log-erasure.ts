import { describe, expect, it } from "vitest";
import type { ErasingLog, IngestionLog } from "../../core/ingestion/log.ts";
import { appendMany, appendOne, claimOn, commitOne, LANE, onLog, OTHER, readAll, STREAM } from "./log-fixtures.ts";
import type { Session } from "./log-fixtures.ts";
import type { LogUnderTest } from "./log-under-test.ts";

const AT = 1_770_000_100_000;
const SECRET = '{"email":"alice@example.com"}';

/** What a log that can erase promises, on top of `logConformance`. */
export function erasureConformance(name: string, open: () => Promise<LogUnderTest>): void {
  const onErasing = (body: (session: Session, log: () => IngestionLog & ErasingLog) => Promise<void>) =>
    onLog(open, (session) => body(session, () => session.log as IngestionLog & ErasingLog));

  describe(`erasure conformance: ${name}`, () => {
    it(
      "leaves the event's place, names and times, and nothing of its payload, also after a restart",
      onErasing(async (session, log) => {
        await appendMany(log(), { count: 2 });
        const { receivedAt } = (await appendOne(log(), { id: "secret", payload: SECRET })) as { receivedAt: number };
        await appendMany(log(), { count: 2, prefix: "f" });
        expect(await log().erase(STREAM, [2, 99], AT)).toEqual({ events: 1, deadLetters: 0 });
        const check = async () => {
          const entries = await readAll(session.log);
          expect(entries.map(({ sequence, erasedAt }) => [sequence, erasedAt])).toEqual([
            [0, undefined],
            [1, undefined],
            [2, AT],
            [3, undefined],
            [4, undefined],
          ]);
          const erased = entries[2];
          expect(erased?.receivedAt).toBe(receivedAt);
          expect(String(erased?.bytes)).not.toContain("alice");
          const event = JSON.parse(String(erased?.bytes)) as unknown;
          expect(event).toMatchObject({ event_id: "secret", event_type: "order_paid", payload: {} });
          expect(await session.log.find("tenant_a", "secret")).toMatchObject({ sequence: 2 });
        };
        await check();
        await session.reopen();
        await check();
        expect(await log().erase(STREAM, [2], AT + 5_000)).toEqual({ events: 0, deadLetters: 0 });
      }),
    );

    it(
      "leaves the same sequence of another stream alone",
      onErasing(async (_session, log) => {
        await appendMany(log(), { count: 1 });
        await appendMany(log(), { stream: OTHER, count: 1 });
        await log().erase(STREAM, [0], AT);
        expect((await readAll(log(), OTHER)).map(({ erasedAt }) => erasedAt)).toEqual([undefined]);
      }),
    );

    it(
      "still knows an erased event's id and key: a repeat of either is a duplicate, whatever its content",
      onErasing(async (session, log) => {
        await appendOne(log(), { id: "secret", key: "k", payload: SECRET });
        await log().erase(STREAM, [0], AT);
        await session.reopen();
        const repeat = { type: "duplicate", sequence: 0, eventId: "secret" };
        expect(await appendOne(log(), { id: "secret", payload: SECRET })).toMatchObject(repeat);
        expect(await appendOne(log(), { id: "secret", payload: '{"other":1}' })).toMatchObject(repeat);
        expect(await appendOne(log(), { id: "another", key: "k", payload: SECRET })).toMatchObject(repeat);
      }),
    );

    it(
      "takes the dead letters of every lane along and counts them as erased",
      onErasing(async (session, log) => {
        await appendMany(log(), { count: 4 });
        const ofJob = { ...LANE, job: "job-1" };
        const claim = await claimOn(log());
        const exceptions = [{ from: 1, to: 3, outcome: "dead" as const }];
        for (const lane of [LANE, ofJob]) {
          await log().openLane(lane, 0);
          await commitOne(log(), { lane, claim, from: 0, to: 4, exceptions });
        }
        expect(await log().erase(STREAM, [1], AT)).toEqual({ events: 1, deadLetters: 2 });
        await session.reopen();
        for (const lane of [LANE, ofJob]) {
          expect(await log().loadLane(lane)).toMatchObject({ delivered: 2, dead: 1, erased: 1 });
          expect(await log().deadLetter(lane, 1)).toBeUndefined();
          expect(await log().deadLetter(lane, 2)).toMatchObject({ sequence: 2 });
          expect(await log().amendment(lane, 1)).toMatchObject({ outcome: { type: "erased" }, at: AT });
          const recount = await log().recount(lane);
          expect(recount?.recounted).toEqual(recount?.state);
          expect(recount?.deadLetters).toBe(1);
        }
      }),
    );

    it(
      "does not keep a dead letter that comes after the erasure: it is counted as erased",
      onErasing(async (session, log) => {
        await appendMany(log(), { count: 3 });
        await log().openLane(LANE, 0);
        await log().erase(STREAM, [1], AT);
        await session.reopen();
        const exceptions = [{ from: 1, to: 2, outcome: "dead" as const }];
        await commitOne(log(), { claim: await claimOn(log()), from: 0, to: 3, exceptions });
        expect(await log().loadLane(LANE)).toMatchObject({ cursor: 3, delivered: 2, dead: 0, erased: 1 });
        expect(await log().deadLetters({ limit: 10 })).toEqual([]);
        const recount = await log().recount(LANE);
        expect(recount?.recounted).toEqual(recount?.state);
      }),
    );
  });
}
