import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import { fullJitterMs } from "./backoff.ts";
import { Breaker } from "./breaker.ts";

const PLAIN = { unavailable: false, retryAfterMs: 0 };
const OUT = { unavailable: true, retryAfterMs: 0 };

function breaker(random = () => 0.5): Breaker {
  return new Breaker({
    random,
    failuresToOpen: 3,
    coolMinMs: 100,
    coolMaxMs: 1_000,
    probeMinMs: 250,
    probeMaxMs: 2_000,
  });
}

describe("a breaker", () => {
  it("opens after enough rounds failed in a row", () => {
    const it = breaker();
    expect(it.failed(0, PLAIN)).toBe(false);
    expect(it.failed(0, PLAIN)).toBe(false);
    expect(it.state).toBe("closed");
    expect(it.failed(0, PLAIN)).toBe(true);
    expect(it.state).toBe("open");
  });

  it("opens at once when the target says that it is unavailable", () => {
    const it = breaker();
    expect(it.failed(0, OUT)).toBe(true);
  });

  it("forgets failures at a sign of life", () => {
    const it = breaker();
    it.failed(0, PLAIN);
    it.failed(0, PLAIN);
    expect(it.alive()).toBe(false);
    it.failed(0, PLAIN);
    expect(it.state).toBe("closed");
  });

  it("cools down between failed rounds while it is closed", () => {
    const it = breaker();
    it.failed(0, PLAIN);
    expect(it.permit(0)).toEqual({ waitUntil: 50 });
    expect(it.permit(50)).toBe("batch");
  });

  it("lets one probe out at a time", () => {
    const it = breaker();
    it.failed(0, OUT);
    expect(it.permit(0)).toEqual({ waitUntil: 187.5 });
    expect(it.permit(188)).toBe("probe");
    expect(it.permit(188)).toEqual({ waitUntil: Number.POSITIVE_INFINITY });
    it.released();
    expect(it.permit(188)).toBe("probe");
    expect(it.alive()).toBe(true);
    expect(it.permit(188)).toBe("batch");
  });

  it("waits no shorter than the target asked for", () => {
    const it = breaker();
    it.failed(0, { unavailable: false, retryAfterMs: 700 });
    expect(it.permit(0)).toEqual({ waitUntil: 700 });
    it.failed(700, { unavailable: true, retryAfterMs: 9_000 });
    expect(it.permit(700)).toEqual({ waitUntil: 9_700 });
  });

  it("is not moved by a batch that was already out when it opened", () => {
    const it = breaker();
    it.failed(0, OUT);
    expect(it.failed(100, OUT)).toBe(false);
    expect(it.permit(0)).toEqual({ waitUntil: 187.5 });
  });

  it("never waits longer than its longest interval for the next probe", () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 60 }), fc.double({ min: 0, max: 0.999, noNaN: true }), (rounds, chance) => {
        const it = breaker(() => chance);
        let now = 0;
        it.failed(now, OUT);
        for (let i = 0; i < rounds; i++) {
          const permit = it.permit(now);
          const { waitUntil } = permit as { waitUntil: number };
          expect(waitUntil - now).toBeLessThanOrEqual(2_000);
          expect(waitUntil - now).toBeGreaterThanOrEqual(125);
          now = waitUntil;
          expect(it.permit(now)).toBe("probe");
          it.failed(now, OUT);
        }
      }),
    );
  });
});

it("draws retry delays from nought to a doubling ceiling", () => {
  const policy = { minMs: 200, maxMs: 60_000 };
  expect([1, 2, 3, 9, 10, 1_000].map((attempt) => fullJitterMs({ ...policy, attempt, random: () => 1 }))).toEqual([
    200, 400, 800, 51_200, 60_000, 60_000,
  ]);
  expect(fullJitterMs({ ...policy, attempt: 5, random: () => 0 })).toBe(0);
});
