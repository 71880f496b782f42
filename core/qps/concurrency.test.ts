import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import { ConcurrencyLimit } from "./concurrency.ts";

const MAX = 64;

/** A sink that works on `width` calls at once, each for `serviceMs`, and lets the others queue; more callers than it can take. */
function meet(limit: ConcurrencyLimit, sink: { width: number; serviceMs: number }, calls: number): number {
  let now = 0;
  const free = Array.from({ length: sink.width }, () => 0);
  const out: Array<{ endsAt: number; beganAt: number; epoch: number }> = [];
  let sum = 0;
  for (let i = 0; i < calls; ) {
    const epoch = limit.enter();
    if (epoch !== undefined) {
      free.sort((a, b) => a - b);
      const startsAt = Math.max(now, free[0] ?? 0);
      free[0] = startsAt + sink.serviceMs;
      out.push({ beganAt: now, endsAt: startsAt + sink.serviceMs, epoch });
      continue;
    }
    out.sort((a, b) => a.endsAt - b.endsAt);
    const done = out.shift();
    if (done === undefined) throw new Error("nothing is in flight, and nothing may begin");
    now = done.endsAt;
    limit.leave(done.epoch, { ok: true, tookMs: now - done.beganAt });
    i += 1;
    if (i > calls / 2) sum += limit.limit;
  }
  for (const { epoch } of out) limit.leave(epoch, { ok: true, tookMs: undefined });
  return sum / (calls / 2);
}

describe("a concurrency limit", () => {
  it.each([2, 6, 20])("settles where a sink that takes %i calls at once is busy and does not queue long", (width) => {
    const mean = meet(new ConcurrencyLimit({ max: MAX }), { width, serviceMs: 50 }, 5_000);
    expect(mean).toBeGreaterThanOrEqual(width);
    expect(mean).toBeLessThanOrEqual(width * 3 + 2);
  });

  it("grows to its bound with a sink that is never full, and not beyond", () => {
    const limit = new ConcurrencyLimit({ max: 16 });
    meet(limit, { width: 1_000, serviceMs: 5 }, 3_000);
    expect(limit.limit).toBe(16);
  });

  it("comes down when a sink becomes narrow, and up again when it recovers", () => {
    const limit = new ConcurrencyLimit({ max: MAX });
    meet(limit, { width: 32, serviceMs: 50 }, 3_000);
    const wide = limit.limit;
    expect(meet(limit, { width: 2, serviceMs: 50 }, 3_000)).toBeLessThan(wide / 2);
    expect(meet(limit, { width: 32, serviceMs: 50 }, 5_000)).toBeGreaterThan(16);
  });

  it("takes a sink that has become slower for good as it is", () => {
    const limit = new ConcurrencyLimit({ max: 16 });
    meet(limit, { width: 8, serviceMs: 10 }, 2_000);
    expect(meet(limit, { width: 8, serviceMs: 300 }, 4_000)).toBeGreaterThanOrEqual(8);
  });

  it("shrinks once for calls that failed together, to one at the least", () => {
    const limit = new ConcurrencyLimit({ max: MAX });
    const epochs = Array.from({ length: 4 }, () => limit.enter() ?? -1);
    expect(limit.enter()).toBeUndefined();
    for (const epoch of epochs) limit.leave(epoch, { ok: false, tookMs: 5 });
    expect(limit.limit).toBe(2);
    for (let i = 0; i < 20; i++) limit.leave(limit.enter() ?? -1, { ok: false, tookMs: 5 });
    expect(limit.limit).toBe(1);
    expect(limit.enter()).toBeDefined();
  });

  it("never lets more in than it says, whatever the calls do", () => {
    const steps = fc.array(fc.record({ enters: fc.boolean(), ok: fc.boolean(), tookMs: fc.nat({ max: 500 }) }));
    fc.assert(
      fc.property(steps, fc.integer({ min: 1, max: 8 }), (calls, max) => {
        const limit = new ConcurrencyLimit({ max });
        const out: number[] = [];
        for (const { enters, ...call } of calls) {
          const epoch = enters ? limit.enter() : undefined;
          if (epoch !== undefined) {
            out.push(epoch);
            expect(limit.inFlight).toBeLessThanOrEqual(limit.limit);
          } else if (out.length > 0) limit.leave(out.shift() ?? -1, call);
          expect(limit.inFlight).toBe(out.length);
          expect(limit.limit).toBeGreaterThanOrEqual(1);
          expect(limit.limit).toBeLessThanOrEqual(max);
        }
      }),
    );
  });
});
