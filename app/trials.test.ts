import { beforeEach, expect, test } from "vitest";
import type { LaneId } from "../core/ingestion/log.ts";
import { laneKey } from "../core/ingestion/log.ts";
import type { TenantConfig } from "../core/ingestion/revision.ts";
import { openMemoryLog } from "../drivers/memory/index.ts";
import type { MemoryLog } from "../drivers/memory/index.ts";
import { SimClock } from "../tests/helpers/sim-clock.ts";
import { revision, sinkUse, tenant } from "../tests/helpers/worker-bench.ts";
import { clearTrials, Trials } from "./trials.ts";

const quiet = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} };
const SHOP = tenant("shop", [sinkUse("raw")]);
const TTL = { ttlMs: 60_000 };

let clock: SimClock;
let log: MemoryLog;
let configured: readonly TenantConfig[];
/** Tenants that ran, at each change. */
let ran: string[][];
let ids: number;

beforeEach(async () => {
  clock = new SimClock();
  log = openMemoryLog({ clock });
  configured = [SHOP];
  ran = [];
  ids = 0;
  await log.openLane({ stream: { tenantId: "shop", partition: 0 }, sink: "raw" }, "tail");
});

/** A process on this log; its configurations are lists of tenants by id, each with the sink `raw`. */
function start(options: { readonly failing?: boolean } = {}): Trials {
  const trials: Trials = new Trials({
    log,
    read: async (text) => {
      const { tenants } = JSON.parse(text) as { tenants: Array<{ id: string }> };
      return { limits: revision(1, []).limits, tenants: tenants.map(({ id }) => tenant(id, [sinkUse("raw")])) };
    },
    configured: () => configured,
    refresh: async () => {
      const now = trials.beside(revision(1, [...configured])).tenants.map(({ id }) => id);
      ran.push(now);
      if (options.failing === true && now.length > configured.length) throw new Error("a sink can't be made");
    },
    ends: true,
    newId: () => String(++ids),
    clock,
    logger: quiet,
  });
  return trials;
}

const lanes = async (): Promise<string[]> => (await log.lanes()).map(({ lane }: { lane: LaneId }) => laneKey(lane));

test("tenants of a trial run beside the configuration's, and are gone with their lanes when it ends", async () => {
  const trials = start();
  const { id, tenantIds } = await trials.begin({ tenants: [{ id: "trial-a" }], ...TTL });
  expect([tenantIds, await lanes()]).toEqual([["trial-a"], ["shop/0/raw", "trial-a/0/raw"]]);
  await trials.end(id);
  expect(ran).toEqual([["shop", "trial-a"], ["shop"]]);
  expect(await lanes()).toEqual(["shop/0/raw"]);
  await expect(trials.end(id)).rejects.toMatchObject({ code: "not_found" });
});

test("a trial that nobody ends is removed when its time is over", async () => {
  const trials = start();
  await trials.begin({ tenants: [{ id: "trial-a" }], ...TTL });
  await clock.advance(TTL.ttlMs - 1);
  expect(await lanes()).toContain("trial-a/0/raw");
  await clock.advance(1);
  expect(await lanes()).toEqual(["shop/0/raw"]);
});

test("what a process that died left behind is gone before the next one works, and nothing else", async () => {
  await start().begin({ tenants: [{ id: "trial-a" }, { id: "trial-b" }], ...TTL });
  configured = [SHOP, tenant("trial-b", [sinkUse("raw")])];
  await clearTrials({ log, configured: () => configured, isAlone: true });
  expect(await lanes()).toEqual(["shop/0/raw", "trial-b/0/raw"]);
});

test("a trial that the workers can't run leaves nothing", async () => {
  const trials = start({ failing: true });
  await expect(trials.begin({ tenants: [{ id: "trial-a" }], ...TTL })).rejects.toThrow("a sink can't be made");
  expect(ran.at(-1)).toEqual(["shop"]);
  expect(await lanes()).toEqual(["shop/0/raw"]);
});

test.each([
  ["an id of another kind", [{ id: "shop-2" }], "malformed_request"],
  ["an id that the configuration has", [{ id: "trial-own" }], "conflict"],
  ["an id that another trial has", [{ id: "trial-taken" }], "conflict"],
  ["more than it may have", Array.from({ length: 65 }, (_, n) => ({ id: `trial-${n}` })), "conflict"],
])("refuses %s", async (_what, tenants, code) => {
  configured = [SHOP, tenant("trial-own", [])];
  const trials = start();
  await trials.begin({ tenants: [{ id: "trial-taken" }], ...TTL });
  await expect(trials.begin({ tenants, ...TTL })).rejects.toMatchObject({ code });
});

test("another process runs a trial once it follows, and ends it as soon as it is ended", async () => {
  const [first, second] = [start(), start()];
  const { id } = await first.begin({ tenants: [{ id: "trial-a" }], ...TTL });
  await second.follow();
  expect(ran).toEqual([
    ["shop", "trial-a"],
    ["shop", "trial-a"],
  ]);
  await second.end(id);
  await first.follow();
  expect(ran.slice(2)).toEqual([["shop"], ["shop"]]);
  expect(await lanes()).toEqual(["shop/0/raw"]);
});

test("a process that can't run another's trial says so once and goes on without it", async () => {
  await start().begin({ tenants: [{ id: "trial-a" }], ...TTL });
  const other = start({ failing: true });
  await expect(other.follow()).rejects.toThrow("a sink can't be made");
  expect(ran.at(-1)).toEqual(["shop"]);
  await other.follow();
  expect(await lanes()).toContain("trial-a/0/raw");
});
