import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import { TokenBucket } from "./token-bucket.ts";

const limits = fc.record({
  perSecond: fc.integer({ min: 1, max: 100_000 }),
  burst: fc.integer({ min: 1, max: 200_000 }),
});
const steps = fc.array(
  fc.record({ afterMs: fc.double({ min: 0, max: 500, noNaN: true }), cost: fc.integer({ min: 1, max: 50 }) }),
  { minLength: 1, maxLength: 300 },
);

describe("a token bucket", () => {
  it("never lets more in than its burst, what came back, and one debt", () => {
    fc.assert(
      fc.property(limits, steps, ({ perSecond, burst }, visits) => {
        const bucket = new TokenBucket({ perSecond, burst, now: 0 });
        const taken: Array<{ at: number; cost: number }> = [];
        let now = 0;
        for (const { afterMs, cost } of visits) {
          now += afterMs;
          if (bucket.available(now) === 0) continue;
          bucket.charge(now, cost);
          taken.push({ at: now, cost });
        }
        for (let from = 0; from < taken.length; from += 7) {
          let sum = 0;
          for (const { at, cost } of taken.slice(from)) {
            sum += cost;
            const elapsedSeconds = (at - (taken[from]?.at ?? 0)) / 1000;
            expect(sum).toBeLessThanOrEqual(burst + perSecond * elapsedSeconds + cost + 1e-3);
          }
        }
      }),
    );
  });

  it("loses nothing: who waits as long as it says finds a token, and not a moment earlier", () => {
    fc.assert(
      fc.property(limits, steps, ({ perSecond, burst }, visits) => {
        const bucket = new TokenBucket({ perSecond, burst, now: 0 });
        let now = 0;
        let charged = 0;
        for (const { cost } of visits) {
          const waitMs = bucket.waitMs(now);
          if (waitMs > 1) expect(bucket.available(now + waitMs - 0.5 / perSecond)).toBe(0);
          now += waitMs;
          expect(bucket.available(now + 1e-6)).toBeGreaterThanOrEqual(1);
          bucket.charge(now, cost);
          charged += cost;
        }
        // Always taking as soon as it may: at least what came back was taken.
        expect(charged).toBeGreaterThanOrEqual(burst + (perSecond * now) / 1000 - burst - 1 - 1e-3);
      }),
    );
  });

  it("pays a debt back before the next goes in", () => {
    const bucket = new TokenBucket({ perSecond: 10, burst: 10, now: 0 });
    bucket.charge(0, 25);
    expect(bucket.available(0)).toBe(0);
    expect(bucket.waitMs(0)).toBeCloseTo(1600);
    expect(bucket.available(1599)).toBe(0);
    expect(bucket.available(1601)).toBe(1);
  });

  it("holds no more than its burst after a long pause", () => {
    const bucket = new TokenBucket({ perSecond: 10, burst: 30, now: 0 });
    bucket.charge(0, 30);
    expect(bucket.available(1e9)).toBe(30);
  });

  it("goes on from its level when its limits change", () => {
    const before = new TokenBucket({ perSecond: 10, burst: 10, now: 0 });
    before.charge(0, 10);
    const after = new TokenBucket({ perSecond: 100, burst: 100, now: 0 }).continueFrom(before, 0);
    expect(after.available(0)).toBe(0);
    expect(after.available(100)).toBe(10);
  });

  it("does not run backward with a clock that does", () => {
    const bucket = new TokenBucket({ perSecond: 1000, burst: 10, now: 1000 });
    bucket.charge(1000, 10);
    expect(bucket.available(0)).toBe(0);
    bucket.charge(0, 0);
    expect(bucket.available(1005)).toBe(5);
  });
});
