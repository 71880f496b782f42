import { describe, expect, it } from "vitest";
import { isErrorCode } from "../../core/canonical/errors.ts";
import { slotOf } from "../../core/ingestion/log.ts";
import { appendOne, claimOn, commitOne, LANE, readAll, STREAM } from "../../tests/conformance/log-fixtures.ts";
import { SimClock, seededRandom } from "../../tests/helpers/sim-clock.ts";
import { type MemoryFaults, openMemoryLog } from "./index.ts";

function faulty(faults: MemoryFaults, seed = 1) {
  const clock = new SimClock();
  return { clock, log: openMemoryLog({ clock, random: seededRandom(seed), faults }) };
}

const DEAD = [{ from: 0, to: 1, outcome: "dead" as const }];

describe("a faulty in-memory log", () => {
  it("refuses without storing", async () => {
    const { log } = faulty({ failure: 1 });
    await expect(appendOne(log, { id: "e1" })).rejects.toMatchObject({ code: "log_unavailable" });
    expect(await readAll(log)).toEqual([]);
  });

  it("stores and refuses to say so; the repeat is a duplicate", async () => {
    const { log } = faulty({ unknown: 1 });
    await expect(appendOne(log, { id: "e1" })).rejects.toMatchObject({ code: "log_unavailable" });
    expect(await readAll(log)).toHaveLength(1);
    log.setFaults(false);
    expect((await appendOne(log, { id: "e1" })).type).toBe("duplicate");
  });

  it("is full for a while, and recovers by itself", async () => {
    const { log, clock } = faulty({ full: 0.3, fullMsMax: 1_000 });
    const codes: string[] = [];
    for (let i = 0; i < 200; i++) {
      await clock.advance(50);
      codes.push(await appendOne(log, { id: `e${i}` }).then(({ type }) => type, codeOf));
    }
    expect(new Set(codes)).toEqual(new Set(["appended", "log_full"]));
    expect(await readAll(log)).toHaveLength(codes.filter((code) => code === "appended").length);
  });

  it("loses a claim to another owner, who gives the slot back", async () => {
    const { log, clock } = faulty({ lostClaim: 1, lostClaimMsMax: 100 });
    await appendOne(log, { id: "e1" });
    await log.openLane(LANE, "start");
    const claims = await log.claims("worker_1");
    const held = claims.held(new AbortController().signal)[Symbol.asyncIterator]();
    const claim = claimIn((await held.next()).value);
    await expect(commitOne(log, { claim: claim!, from: 0, to: 1 })).rejects.toMatchObject({ code: "fenced" });
    expect(claimIn((await held.next()).value)).toBeUndefined();
    await clock.advance(100);
    expect(claimIn((await held.next()).value)?.epoch).toBe(claim!.epoch + 2);
  });

  it("refuses commits with dead letters alone", async () => {
    const { log } = faulty({ deadLetterFailure: 1 });
    for (const id of ["e1", "e2"]) await appendOne(log, { id });
    await log.openLane(LANE, "start");
    const claim = await claimOn(log);
    const dying = commitOne(log, { claim, from: 0, to: 1, exceptions: DEAD });
    await expect(dying).rejects.toMatchObject({ code: "log_unavailable" });
    expect((await log.loadLane(LANE))?.cursor).toBe(0);
    await commitOne(log, { claim, from: 0, to: 1 });
  });

  it.each([
    [1, 1],
    [0, 0],
  ])("at a restart, a call in flight happened or not by chance (%i), and is never answered", async (chance, stored) => {
    const { log, clock } = faulty({ delayMsMax: 10, keepInFlight: chance });
    const waiting = appendOne(log, { id: "e1" });
    const refused = expect(waiting).rejects.toMatchObject({ code: "log_unavailable" });
    const next = log.restart();
    await clock.advance(20);
    await refused;
    next.setFaults(false);
    expect(await readAll(next)).toHaveLength(stored);
    await expect(log.probe()).rejects.toMatchObject({ code: "log_unavailable" });
  });

  it("does the same for the same seed, and something else for another", async () => {
    expect(await trace(1)).toEqual(await trace(1));
    expect(await trace(1)).not.toEqual(await trace(2));
  });

  it("catches a caller that settles what it must not", async () => {
    const { log } = faulty({});
    await appendOne(log, { id: "e1" });
    await log.openLane(LANE, "start");
    const claim = await claimOn(log);
    const wrong = [
      { from: 0, to: 2 },
      { from: 0, to: 0 },
      { from: 0, to: 1, exceptions: [{ from: 0, to: 2, outcome: "erased" as const }] },
      { from: 0, to: 1, exceptions: [...DEAD, ...DEAD] },
    ];
    for (const spec of wrong)
      await expect(commitOne(log, { claim, ...spec })).rejects.toMatchObject({ code: "internal" });
    expect((await log.loadLane(LANE))?.cursor).toBe(0);
  });
});

function claimIn(held: readonly { readonly slot: number; readonly epoch: number }[] | undefined) {
  return held?.find(({ slot }) => slot === slotOf(STREAM));
}

function codeOf(error: unknown): string {
  return isErrorCode(error, "log_full") ? "log_full" : String(error);
}

async function trace(seed: number): Promise<string[]> {
  const { log } = faulty({ failure: 0.3, unknown: 0.3 }, seed);
  const steps: string[] = [];
  for (let i = 0; i < 40; i++) steps.push(await appendOne(log, { id: `e${i}` }).then(({ type }) => type, String));
  return [...steps, String((await readAll(log)).length)];
}
