import { describe, expect, it } from "vitest";
import type { Clock } from "../core/environment.ts";
import { seededRandom, SimClock } from "../tests/helpers/sim-clock.ts";
import { LiveTurns } from "./live-turns.ts";

interface Spec {
  readonly tenantId: string;
  readonly weight: number;
  readonly cost: number;
}

/** How long a turn of the event loop takes that has as much to do as it may. */
const TURN_MS = 10;
const SLICE_COST = 1_000;

/** A clock whose turns of the event loop take time, as they do when the thread has work. */
function busyClock(clock: SimClock): Clock {
  return {
    now: () => clock.now(),
    monotonic: () => clock.monotonic(),
    sleep: (ms, signal) => clock.sleep(ms === 0 ? TURN_MS : ms, signal),
  };
}

/** A lane that always has something to deliver, which takes it so long. */
function busyLane(options: {
  turns: LiveTurns;
  clock: SimClock;
  spec: Spec;
  tookMs: () => number;
  done: Map<string, number>;
}) {
  const { turns, clock, spec, tookMs, done } = options;
  let isOut = false;
  const lane = {
    asked: 0,
    resume() {
      if (isOut) return;
      lane.asked += 1;
      if (!turns.take(lane, spec)) return;
      isOut = true;
      done.set(spec.tenantId, (done.get(spec.tenantId) ?? 0) + spec.cost);
      void clock.sleep(tookMs()).then(() => {
        isOut = false;
        lane.resume();
      });
    },
  };
  return lane;
}

function runBusy(specs: readonly Spec[], ms: number, seed: number) {
  const clock = new SimClock();
  const turns = new LiveTurns(busyClock(clock));
  const random = seededRandom(seed);
  const done = new Map<string, number>();
  const lanes = specs.map((spec) => busyLane({ turns, clock, spec, done, tookMs: () => random() * 2 }));
  for (const lane of lanes) lane.resume();
  return { clock, turns, done, lanes, run: () => clock.advance(ms) };
}

const lanesOf = (tenantId: string, count: number, weight = 1, cost = 100): Spec[] =>
  Array.from({ length: count }, () => ({ tenantId, weight, cost }));

describe("turns of live lanes", () => {
  it("hold nobody back while there is little to do", () => {
    const turns = new LiveTurns(new SimClock());
    const lanes = Array.from({ length: 10 }, () => ({ resume: () => undefined }));
    for (const lane of lanes) expect(turns.take(lane, { tenantId: "a", weight: 1, cost: 100 })).toBe(true);
    expect(turns.take({ resume: () => undefined }, { tenantId: "b", weight: 1, cost: 1 })).toBe(false);
  });

  it("give tenants equal parts, however many lanes each has ready", async () => {
    for (let seed = 1; seed <= 10; seed++) {
      const { run, done } = runBusy([...lanesOf("many", 60), ...lanesOf("few", 12)], 5_000, seed);
      await run();
      const [many = 0, few = 0] = [done.get("many"), done.get("few")];
      expect(many / (many + few)).toBeGreaterThan(0.48);
      expect(many / (many + few)).toBeLessThan(0.52);
    }
  });

  it("give tenants parts by weight", async () => {
    const { run, done } = runBusy([...lanesOf("w1", 40), ...lanesOf("w3", 40, 3)], 5_000, 1);
    await run();
    const [w1 = 0, w3 = 0] = [done.get("w1"), done.get("w3")];
    expect(w3 / (w1 + w3)).toBeCloseTo(0.75, 1);
    expect(Math.abs(w3 / (w1 + w3) - 0.75)).toBeLessThan(0.02);
  });

  it("let a lane that is seldom ready have its turn within one slice", async () => {
    const { clock, turns, run } = runBusy(lanesOf("flood", 200, 1, 500), 50, 1);
    await run();
    let grantedAt: number | undefined;
    const calm = {
      resume() {
        if (turns.take(calm, { tenantId: "calm", weight: 1, cost: 1 })) grantedAt ??= clock.monotonic();
      },
    };
    const askedAt = clock.monotonic();
    calm.resume();
    await clock.advance(5 * TURN_MS);
    expect((grantedAt ?? Infinity) - askedAt).toBeLessThanOrEqual(TURN_MS);
  });

  it("keep the thread at work: each slice is filled while lanes wait", async () => {
    const { run, done, turns } = runBusy(lanesOf("a", 100, 1, 50), 1_000, 3);
    await run();
    expect(turns.waiting).toBeGreaterThan(0);
    expect(done.get("a")).toBeGreaterThanOrEqual(SLICE_COST * (1_000 / TURN_MS - 1));
  });

  it("wake a lane for its turn, not for others'", async () => {
    const { run, lanes, done } = runBusy(lanesOf("a", 50, 1, 100), 100, 4);
    await run();
    const asked = lanes.reduce((sum, lane) => sum + lane.asked, 0);
    const begun = (done.get("a") ?? 0) / 100;
    // Once to come to wait, once for its turn.
    expect(asked).toBeLessThanOrEqual(2 * begun + lanes.length);
  });

  it("pass over a lane that has left, and one that has other plans", async () => {
    const clock = new SimClock();
    const turns = new LiveTurns(busyClock(clock));
    const request = { tenantId: "a", weight: 1, cost: SLICE_COST };
    const resumed: string[] = [];
    const lane = (name: string, wants: boolean) => ({
      resume() {
        if (wants && turns.take(this, request)) resumed.push(name);
      },
    });
    expect(turns.take(lane("first", true), request)).toBe(true);
    const [gone, idle, last] = [lane("gone", true), lane("idle", false), lane("last", true)];
    for (const one of [gone, idle, last]) expect(turns.take(one, request)).toBe(false);
    turns.leave(gone);
    await clock.advance(TURN_MS);
    expect(resumed).toEqual(["last"]);
    expect(turns.waiting).toBe(0);
  });

  it("let nobody in ahead of those that wait, not even from within another's turn", async () => {
    const clock = new SimClock();
    const turns = new LiveTurns(busyClock(clock));
    const small = { tenantId: "a", weight: 1, cost: 1 };
    const order: string[] = [];
    const lane = (name: string, also?: () => void) => ({
      resume() {
        if (!turns.take(this, small)) return;
        order.push(name);
        also?.();
      },
    });
    turns.take(lane("first"), { ...small, cost: SLICE_COST });
    const late = lane("late");
    const [one, two] = [lane("one", () => late.resume()), lane("two")];
    one.resume();
    two.resume();
    await clock.advance(TURN_MS);
    expect(order.filter((name) => name !== "late")).toEqual(["one", "two"]);
    expect(order.indexOf("two")).toBeLessThan(order.indexOf("late"));
  });
});
