import { describe, expect, test } from "vitest";
import { PulseGateError } from "../core/canonical/errors.ts";
import type { ControlStore } from "../core/ingestion/log.ts";
import { TenantQuota } from "../core/qps/quota.ts";
import { openMemoryLog } from "../drivers/memory/index.ts";
import { SimClock } from "../tests/helpers/sim-clock.ts";
import { silentLogger } from "../tests/helpers/worker-bench.ts";
import { type Sharing, startSharing } from "./sharing.ts";

const STEP_MS = 10;

/** A backend that can be cut off. */
class Backend implements ControlStore {
  isReachable = true;
  private readonly control: ControlStore;

  constructor(clock: SimClock) {
    this.control = openMemoryLog({ clock }).control;
  }

  get: ControlStore["get"] = async (key) => this.reach().get(key);
  put: ControlStore["put"] = async (key, value, version) => this.reach().put(key, value, version);
  remove: ControlStore["remove"] = async (key, version) => this.reach().remove(key, version);
  list: ControlStore["list"] = async (prefix) => this.reach().list(prefix);

  private reach(): ControlStore {
    if (!this.isReachable) throw new PulseGateError("log_unavailable", "cut off");
    return this.control;
  }
}

interface Door {
  readonly sharing: Sharing;
  readonly quota: TenantQuota;
}

async function startDoors(count: number, events: { perSecond: number; burst: number }) {
  const clock = new SimClock();
  const control = new Backend(clock);
  const doors: Door[] = [];
  for (let i = 0; i < count; i++) {
    const place = { instance: `api-${i}`, role: "api", clock, logger: silentLogger } as const;
    const sharing = await startSharing({ control, ...place });
    doors.push({ sharing, quota: new TenantQuota({ events }, clock, sharing.shareOf("shop")) });
  }
  // Until all know of all.
  await clock.advance(2_100);
  return { clock, control, doors };
}

/** Each of the doors is asked `perSecond` times a second for so long; how many were let in. */
async function flood(
  clock: SimClock,
  doors: readonly Door[],
  { perSecond, seconds }: { perSecond: number; seconds: number },
) {
  let accepted = 0;
  for (let ms = 0; ms < seconds * 1000; ms += STEP_MS) {
    for (const { quota } of doors)
      for (let i = 0; i < (perSecond * STEP_MS) / 1000; i++) {
        if (quota.enter(0) !== undefined) continue;
        accepted += 1;
        quota.leave();
      }
    await clock.advance(STEP_MS);
  }
  return accepted;
}

describe("a tenant's quota is the total over all processes", () => {
  const RATE = { perSecond: 1_000, burst: 1_000 };
  const due = (seconds: number) => RATE.burst + RATE.perSecond * seconds;

  test.each([1, 2, 4])("%i of them take what one would, within a tenth, over ten seconds", async (count) => {
    const { clock, doors } = await startDoors(count, RATE);
    const accepted = await flood(clock, doors, { perSecond: 3_000, seconds: 10 });
    expect(accepted).toBeLessThanOrEqual(1.1 * due(10));
    expect(accepted).toBeGreaterThanOrEqual(0.9 * due(10));
  });

  test("one process gets all of it when the others are not asked", async () => {
    const { clock, doors } = await startDoors(4, RATE);
    const accepted = await flood(clock, doors.slice(0, 1), { perSecond: 3_000, seconds: 10 });
    expect(accepted).toBeLessThanOrEqual(1.1 * due(10));
    expect(accepted).toBeGreaterThanOrEqual(0.9 * due(10));
  });

  test("a burst smaller than a round's refill costs nothing of the rate", async () => {
    const { clock, doors } = await startDoors(2, { perSecond: 1_000, burst: 50 });
    const accepted = await flood(clock, doors, { perSecond: 3_000, seconds: 10 });
    expect(accepted).toBeLessThanOrEqual(1.1 * 10_050);
    expect(accepted).toBeGreaterThanOrEqual(0.9 * 10_050);
  });

  test("once it is used up no moment brings more than its part, at however many doors", async () => {
    const { clock, doors } = await startDoors(4, { perSecond: 1_000, burst: 100 });
    await flood(clock, doors, { perSecond: 3_000, seconds: 5 });
    for (let quarter = 0; quarter < 12; quarter++) {
      const accepted = await flood(clock, doors, { perSecond: 3_000, seconds: 0.25 });
      expect(accepted).toBeLessThanOrEqual(1.5 * 250);
    }
  });

  test("moving from door to door gives no more: what is taken is paid for", async () => {
    const { clock, doors } = await startDoors(4, RATE);
    let accepted = 0;
    for (let turn = 0; turn < 8; turn++)
      accepted += await flood(clock, [doors[turn % 4] as Door], { perSecond: 3_000, seconds: 2.5 });
    expect(accepted).toBeLessThanOrEqual(1.1 * due(20));
  });

  test("cut off from the others each goes on with an equal part, says so, and comes back", async () => {
    const { clock, control, doors } = await startDoors(4, RATE);
    await flood(clock, doors, { perSecond: 3_000, seconds: 5 });
    control.isReachable = false;
    await flood(clock, doors, { perSecond: 3_000, seconds: 2 });
    expect(doors.map(({ sharing }) => sharing.state())).toEqual(doors.map(() => ({ sharing: "alone", processes: 4 })));
    const alone = await flood(clock, doors.slice(0, 1), { perSecond: 3_000, seconds: 10 });
    expect(alone).toBeLessThanOrEqual((1.1 * (RATE.burst + 10 * RATE.perSecond)) / 4);
    expect(alone).toBeGreaterThanOrEqual((0.9 * (10 * RATE.perSecond)) / 4);
    control.isReachable = true;
    await flood(clock, doors, { perSecond: 100, seconds: 5 });
    expect(doors.map(({ sharing }) => sharing.state().sharing)).toEqual(doors.map(() => "shared"));
    const after = await flood(clock, doors, { perSecond: 3_000, seconds: 10 });
    expect(after).toBeLessThanOrEqual(1.1 * due(10));
    expect(after).toBeGreaterThanOrEqual(0.8 * RATE.perSecond * 10);
  });

  test("requests at one time are an equal part for each", async () => {
    const { clock, doors } = await startDoors(4, RATE);
    const quota = new TenantQuota({ requestsInFlight: 10 }, clock, (doors[0] as Door).sharing.shareOf("shop"));
    expect([1, 2, 3, 4].map(() => quota.enter(0)?.policies)).toEqual([undefined, undefined, undefined, ["requests"]]);
  });

  test("who leaves is counted no more at the next beat", async () => {
    const { clock, doors } = await startDoors(2, RATE);
    const [first, second] = doors as [Door, Door];
    expect(first.sharing.state().processes).toBe(2);
    const stopped = second.sharing.stop();
    await clock.advance(2_100);
    await stopped;
    expect(first.sharing.state().processes).toBe(1);
  });
});
