import { describe, expect, it } from "vitest";
import { openMemoryLog } from "../../drivers/memory/index.ts";
import { LANE, appendMany, claimOn, commitOne } from "../../tests/conformance/log-fixtures.ts";
import { SimClock } from "../../tests/helpers/sim-clock.ts";
import { discardAll, fingerprintOf } from "./dead-letters.ts";

const of = (message: string, change: { stage?: string; code?: string } = {}) =>
  fingerprintOf({ stage: "sink raw", code: "23514", message, ...change });

describe("a fingerprint", () => {
  it.each([
    ['invalid input syntax for type integer: "abc"', 'invalid input syntax for type integer: "12-x y"'],
    ["value 1200.50 out of range", "value -3 out of range"],
    ["no answer from 10.0.0.1:5432", "no answer from 192.168.10.22:5432"],
    ["event 018f4a7e-0000-7000-8000-00000000abcd refused", "event 018f4a7e-0000-7000-8000-ffff00001111 refused"],
    ["mail to ann@example.com bounced", "mail to bob.b@example.org bounced"],
    ["key 'a' is taken", "key 'b''s' is taken"],
    ["null value at row 1", "null value at row 22"],
  ])("is the same for %j and %j", (a, b) => {
    expect(of(a)).toBe(of(b));
  });

  it.each([
    ['violates check constraint "amount_positive"', 'violates check constraint "currency_known"'],
    ['relation "events_1" does not exist', 'relation "events_2" does not exist'],
    ["connection refused", "connection reset"],
  ])("tells %j from %j", (a, b) => {
    expect(of(a)).not.toBe(of(b));
  });

  it("tells stages and codes apart, and is 16 hexadecimal digits", () => {
    expect(new Set([of("x"), of("x", { stage: "route" }), of("x", { code: "1" })]).size).toBe(3);
    expect(of("x")).toMatch(/^[0-9a-f]{16}$/);
  });

  it("takes a long and hostile message in little time", () => {
    const hostile = [`"${"'".repeat(500)}`, "a@".repeat(250), "0".repeat(500), "f0".repeat(250), "\u0001".repeat(500)];
    for (const message of hostile) expect(of(message)).toMatch(/^[0-9a-f]{16}$/);
  });
});

describe("discarding all of a kind", () => {
  it("goes on until none is left, and leaves the others", async () => {
    const log = openMemoryLog({ clock: new SimClock() });
    await appendMany(log, { count: 1_300 });
    await log.openLane(LANE, "start");
    const letter = (sequence: number) => ({ fingerprint: sequence < 1_200 ? "aaaa" : "bbbb" });
    const exceptions = [{ from: 0, to: 1_300, outcome: "dead" as const }];
    await commitOne(log, { claim: await claimOn(log), from: 0, to: 1_300, exceptions, letter });
    expect(await discardAll(log, { query: { fingerprint: "aaaa" }, at: 1 })).toBe(1_200);
    expect(await log.loadLane(LANE)).toMatchObject({ dead: 100, filtered: { discarded: 1_200 } });
  });
});
