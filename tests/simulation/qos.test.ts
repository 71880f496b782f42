import { expect, it } from "vitest";
import type { Random } from "../../core/environment.ts";
import { seededRandom } from "../helpers/sim-clock.ts";
import { BATCH, COST_MAX, type QosTally, type QosTenant, SERVICE, simulateQos } from "./qos-sim.ts";

/** `PULSEGATE_SEEDS=5000` runs more; `PULSEGATE_SEED=123` runs one again. */
const SEEDS = Number(process.env.PULSEGATE_SEEDS ?? 2000);
const ONLY = process.env.PULSEGATE_SEED;
const MS = 4_000;
const DRAIN_MS = 8_000;
const SIZES = [2_048, 8_192, 32_768];
/** Sends at least so many times what it is owed: its share says something. */
const GREEDY = 2;
const SHARE_OFF_MAX = 0.02;
/** Of what it is owed. */
const STARVED = 0.95;
/** Two commits of 1 MiB. */
const UNDER_WAY_SECONDS = 0.11;
/** Of what the log takes without its syncs, or of what is sent if that is less. */
const WORK_MIN = 0.9;
/** Sends less than such a part of what it is owed when all are greedy: it is neither shed nor waits for long. */
const CALM = 0.7;
const CALM_WAIT_MS = 500;

it("keeps quotas, shares, caps and deliveries, whoever floods and whatever is down", { timeout: 600_000 }, async () => {
  const seeds = ONLY === undefined ? Array.from({ length: SEEDS }, (_, i) => i + 1) : [Number(ONLY)];
  const failures: string[] = [];
  for (const seed of seeds) {
    const tenants = drawTenants(seededRandom(seed * 104_729));
    const result = await simulateQos(tenants, { ms: MS, drainMs: DRAIN_MS, seed });
    const faults = faultsOf(tenants, result);
    if (faults.length > 0) failures.push(`PULSEGATE_SEED=${seed}: ${faults.join("; ")}`);
    if (failures.length >= 5) break;
  }
  expect(failures).toEqual([]);
});

function drawTenants(random: Random): QosTenant[] {
  const pick = <T>(choices: readonly T[]): T => choices[Math.floor(random() * choices.length)] as T;
  const count = 2 + Math.floor(random() * 4);
  return Array.from({ length: count }, (_, n) => {
    const size = pick(SIZES);
    const perSecond = (SERVICE / count) * pick([0.1, 0.3, 1, 3, 8]);
    const rate = Math.ceil((perSecond / size) * pick([0.3, 2]));
    const from = 500 + Math.floor(random() * 1_000);
    return {
      ...{ id: `t${n}`, weight: pick([1, 2, 4]), perSecond, size },
      quota: random() < 0.3 ? { perSecond: rate, burst: rate } : undefined,
      outage: random() < 0.3 ? { from, to: from + 1_000 + Math.floor(random() * 3_000) } : undefined,
    };
  });
}

interface Result {
  readonly tallies: ReadonlyMap<string, QosTally>;
  readonly costPeak: number;
  readonly seconds: number;
}

function faultsOf(tenants: readonly QosTenant[], { tallies, costPeak, seconds }: Result): string[] {
  const faults: string[] = [];
  const fault = (isFault: boolean, what: string): void => void (isFault && faults.push(what));
  const demand = tenants.map(({ id }) => (tallies.get(id) as QosTally).passed / seconds);
  const stored = tenants.map(({ id }) => (tallies.get(id) as QosTally).stored / seconds);
  const all = sumOf(stored);
  const possible = Math.min(SERVICE, sumOf(demand));
  fault(costPeak > 2 * COST_MAX, `${costPeak} bytes are under way`);
  fault(all < WORK_MIN * possible, `stores ${(all / possible).toFixed(2)} of what it could`);
  // Of what the log really took: what its syncs cost is nobody's share.
  const shares = maxMin(tenants, demand, all);
  // Those that always have more to send than they get.
  const greedy = tenants.filter((_, at) => (demand[at] as number) > GREEDY * (shares[at] as number));
  const got = greedy.map(({ id }) => (tallies.get(id) as QosTally).stored);
  for (const [at, { id, weight }] of greedy.entries()) {
    const share = (got[at] as number) / got.reduce((sum, one) => sum + one, 0);
    const off = share - weight / greedy.reduce((sum, one) => sum + one.weight, 0);
    fault(Math.abs(off) > SHARE_OFF_MAX, `${id} has ${off.toFixed(3)} of all beside its share`);
  }
  for (const [at, tenant] of tenants.entries()) {
    const tally = tallies.get(tenant.id) as QosTally;
    // The burst of a quota is no part of its rate.
    const isCalm = tenant.perSecond < CALM * levelOf(tenants, tenant);
    fault(isOverQuota(tenant, tally), `${tenant.id} passes more than its quota`);
    fault(isCalm && tally.shed > 0, `${tenant.id} is shed under its share`);
    // At the end, what came since the last commit but one began is still on its way.
    const inTime = (shares[at] as number) * (1 - UNDER_WAY_SECONDS / seconds);
    const owed = STARVED * inTime - tenant.size / seconds;
    fault((stored[at] as number) < owed, `${tenant.id} has ${stored[at]} of ${shares[at]}`);
    fault(tally.delivered !== tally.accepted, `${tenant.id} has ${tally.accepted - tally.delivered} undelivered`);
    const waits = isCalm && tenant.outage === undefined;
    fault(waits && tally.deliveryMaxMs > CALM_WAIT_MS, `${tenant.id} waited ${tally.deliveryMaxMs} ms`);
    fault((tally.backAfterMs ?? 0) > 5_000, `${tenant.id} is back after ${tally.backAfterMs} ms`);
    fault(tally.sentWhileDown > 3 * BATCH + 20, `${tenant.id} sent ${tally.sentWhileDown} while down`);
  }
  return faults;
}

function sumOf(values: readonly number[]): number {
  return values.reduce((sum, one) => sum + one, 0);
}

/** A tenant's part when all have more to send than they get. */
function levelOf(tenants: readonly QosTenant[], { weight }: QosTenant): number {
  return (SERVICE * weight) / tenants.reduce((sum, one) => sum + one.weight, 0);
}

/** Weighted max–min shares of a supply. */
function maxMin(tenants: readonly QosTenant[], demand: readonly number[], supply: number): number[] {
  const shares = tenants.map(() => 0);
  let left = supply;
  let open = tenants.map((_, at) => at);
  while (open.length > 0) {
    const weights = open.reduce((sum, at) => sum + (tenants[at] as QosTenant).weight, 0);
    const level = left / weights;
    const satisfied = open.filter((at) => (demand[at] as number) <= level * (tenants[at] as QosTenant).weight);
    if (satisfied.length === 0) {
      for (const at of open) shares[at] = level * (tenants[at] as QosTenant).weight;
      return shares;
    }
    for (const at of satisfied) {
      shares[at] = demand[at] as number;
      left -= demand[at] as number;
    }
    open = open.filter((at) => !satisfied.includes(at));
  }
  return shares;
}

/** Whether in any time more than a burst and what the rate gives was let past the quota. */
function isOverQuota({ quota }: QosTenant, { passedAt }: QosTally): boolean {
  if (quota === undefined) return false;
  let lowest = Infinity;
  return passedAt.some((at, n) => {
    lowest = Math.min(lowest, n - (quota.perSecond * at) / 1_000);
    return n + 1 - (quota.perSecond * at) / 1_000 - lowest > quota.burst + 1;
  });
}
