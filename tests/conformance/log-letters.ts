import { type DeadLetter, type DeadLetterQuery, type IngestionLog, laneKey } from "../../core/ingestion/log.ts";
import { describe, expect, it } from "vitest";
import type { LogUnderTest } from "./log-under-test.ts";
import { LANE, OTHER, STREAM, appendMany, claimOn, commitOne, letterOf, onLog } from "./log-fixtures.ts";

export function deadLetterConformance(open: () => Promise<LogUnderTest>): void {
  describe("dead letters", () => {
    it(
      "come back whole, bytes included, also after reopening",
      onLog(open, async (session) => {
        await letters(session.log);
        for (const reopened of [false, true]) {
          if (reopened) await session.reopen();
          const letter = await session.log.deadLetter(LANE, 2);
          expect(letter && { ...letter, bytes: letter.bytes.toString() }).toEqual({
            ...letterOf(LANE, 2),
            bytes: letterOf(LANE, 2).bytes.toString(),
          });
          expect(await session.log.deadLetter(LANE, 0)).toBeUndefined();
          expect(await session.log.deadLetter({ ...LANE, sink: "none" }, 2)).toBeUndefined();
        }
      }),
    );

    it(
      "are listed by lane, then sequence",
      onLog(open, async ({ log }) => {
        await letters(log);
        expect(await places(log, { limit: 100 })).toEqual([
          "tenant_a/0/copy 1",
          "tenant_a/0/copy 2",
          "tenant_a/0/raw 1",
          "tenant_a/0/raw 2",
          "tenant_a/0/raw 10",
          "tenant_b/0/copy 1",
          "tenant_b/0/copy 2",
          "tenant_b/0/raw 1",
          "tenant_b/0/raw 2",
          "tenant_b/0/raw 10",
        ]);
      }),
    );

    it(
      "are filtered by tenant, by sink and by both",
      onLog(open, async ({ log }) => {
        await letters(log);
        expect(await places(log, { tenantId: OTHER.tenantId, limit: 100 })).toHaveLength(5);
        expect(await places(log, { sink: "copy", limit: 100 })).toHaveLength(4);
        expect(await places(log, { tenantId: OTHER.tenantId, sink: "copy", limit: 100 })).toEqual([
          "tenant_b/0/copy 1",
          "tenant_b/0/copy 2",
        ]);
        expect(await places(log, { tenantId: "tenant", limit: 100 })).toEqual([]);
        expect(await places(log, { sink: "cop", limit: 100 })).toEqual([]);
      }),
    );

    it.each([1, 2, 3, 100])("come in pages of %i without a gap or a repeat", async (limit) => {
      await onLog(open, async ({ log }) => {
        await letters(log);
        for (const filter of [
          {},
          { sink: "raw" },
          { tenantId: OTHER.tenantId },
          { tenantId: OTHER.tenantId, sink: "raw" },
        ]) {
          const whole = await places(log, { ...filter, limit: 100 });
          expect(await pages(log, filter, limit)).toEqual(whole);
        }
      })();
    });
  });

  describe("control", () => {
    it(
      "keeps documents by compare-and-set",
      onLog(open, async (session) => {
        const { control } = session.log;
        expect(await control.get("config")).toBeUndefined();
        const first = await control.put("config", { tenants: [{ id: "ä" }] }, 0);
        const second = await control.put("config", { tenants: [] }, first);
        expect(second).not.toBe(first);
        for (const stale of [0, first, second + 1]) {
          await expect(control.put("config", "stale", stale)).rejects.toMatchObject({ code: "version_conflict" });
        }
        await session.reopen();
        expect(await session.log.control.get("config")).toEqual({ value: { tenants: [] }, version: second });
      }),
    );

    it(
      "lets one of many win the same version",
      onLog(open, async ({ log }) => {
        const rivals = await Promise.allSettled(Array.from({ length: 20 }, (_, i) => log.control.put("config", i, 0)));
        const winner = rivals.findIndex(({ status }) => status === "fulfilled");
        expect(rivals.filter(({ status }) => status === "fulfilled")).toHaveLength(1);
        expect((await log.control.get("config"))?.value).toBe(winner);
      }),
    );

    it(
      "forgets a document at the version that was read, and no other",
      onLog(open, async (session) => {
        const { control } = session.log;
        const first = await control.put("jobs/1", { n: 1 }, 0);
        const second = await control.put("jobs/1", { n: 2 }, first);
        await control.put("jobs/2", { n: 3 }, 0);
        for (const stale of [first, second + 1])
          await expect(control.remove("jobs/1", stale)).rejects.toMatchObject({ code: "version_conflict" });
        await control.remove("jobs/1", second);
        await session.reopen();
        const { control: again } = session.log;
        expect(await again.get("jobs/1")).toBeUndefined();
        expect((await again.list("")).map(({ key }) => key)).toEqual(["jobs/2"]);
        await expect(again.remove("jobs/1", second)).rejects.toMatchObject({ code: "version_conflict" });
        await expect(again.put("jobs/1", "stale", second)).rejects.toMatchObject({ code: "version_conflict" });
        expect(await again.put("jobs/1", { n: 4 }, 0)).toBe(1);
      }),
    );

    it(
      "lets one of many forget the same version",
      onLog(open, async ({ log }) => {
        const version = await log.control.put("jobs/1", "one", 0);
        const rivals = await Promise.allSettled(
          Array.from({ length: 10 }, () => log.control.remove("jobs/1", version)),
        );
        expect(rivals.filter(({ status }) => status === "fulfilled")).toHaveLength(1);
        expect(await log.control.get("jobs/1")).toBeUndefined();
      }),
    );

    it(
      "lists by prefix",
      onLog(open, async ({ log }) => {
        for (const key of ["config/1", "config/2", "config", "conf", "jobs/1"]) await log.control.put(key, { key }, 0);
        const keys = (await log.control.list("config/")).map(({ key }) => key).sort();
        expect(keys).toEqual(["config/1", "config/2"]);
        expect(await log.control.list("")).toHaveLength(5);
        const [job] = await log.control.list("jobs/");
        expect(job).toMatchObject({ key: "jobs/1", value: { key: "jobs/1" } });
      }),
    );
  });
}

/** Dead letters in four lanes of two tenants; the third lies behind sequence 9, where text order and number order differ. */
async function letters(log: IngestionLog): Promise<void> {
  for (const stream of [OTHER, STREAM]) {
    await appendMany(log, { stream, count: 12 });
    const claim = await claimOn(log, stream);
    for (const sink of ["raw", "copy"]) {
      const lane = { stream, sink };
      await log.openLane(lane, "start");
      await commitOne(log, { lane, claim, from: 0, to: 4, exceptions: [{ from: 1, to: 3, outcome: "dead" }] });
      if (sink !== "raw") continue;
      await commitOne(log, { lane, claim, from: 4, to: 12, exceptions: [{ from: 10, to: 11, outcome: "dead" }] });
    }
  }
}

function place({ lane, sequence }: DeadLetter): string {
  return `${laneKey(lane)} ${sequence}`;
}

async function places(log: IngestionLog, query: DeadLetterQuery): Promise<string[]> {
  return (await log.deadLetters(query)).map(place);
}

async function pages(log: IngestionLog, filter: Omit<DeadLetterQuery, "limit">, limit: number): Promise<string[]> {
  const seen: string[] = [];
  let after: DeadLetterQuery["after"];
  for (;;) {
    const page = await log.deadLetters({ ...filter, after, limit });
    expect(page.length).toBeLessThanOrEqual(limit);
    const last = page.at(-1);
    if (last === undefined) return seen;
    seen.push(...page.map(place));
    // A page that comes again and again must fail, not hang.
    expect(seen.length).toBeLessThan(100);
    after = { lane: last.lane, sequence: last.sequence };
  }
}
