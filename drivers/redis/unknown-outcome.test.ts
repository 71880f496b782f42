import { afterAll, beforeAll, describe, expect, it } from "vitest";
import {
  appendMany,
  appendOne,
  claimOn,
  commitOne,
  idOf,
  LANE,
  OTHER,
  readAll,
} from "../../tests/conformance/log-fixtures.ts";
import { type Proxy, startProxy } from "../../plugins/testing/proxy.ts";
import { startTestRedis, type TestRedis } from "../../tests/helpers/redis.ts";
import { until } from "../../tests/helpers/until.ts";
import type { RedisLog } from "./index.ts";
import { shardOf } from "./keys.ts";
import { openTestLog } from "../../tests/helpers/redis-log.ts";

/** What happens to the connection, and whether the write is done. */
const CUTS = [
  { when: "before the write leaves", cut: (proxy: Proxy) => proxy.cut(), stored: false },
  { when: "after the write, before the reply", cut: (proxy: Proxy) => proxy.cutBeforeReply(), stored: true },
] as const;

describe("a connection that is cut", () => {
  let redis: TestRedis;
  let proxy: Proxy;
  beforeAll(async () => {
    redis = await startTestRedis();
    proxy = await startProxy(() => ({ host: "127.0.0.1", port: redis.port }));
  });
  afterAll(async () => {
    await proxy.close();
    await redis.stop();
  });

  const open = (prefix: string) =>
    openTestLog(redis.url, { prefix, connection: { url: `redis://127.0.0.1:${proxy.port}`, timeoutMs: 2_000 } });

  it.each(CUTS)("$when: the append is told as unknown, sent once, and its repeat is no second event", async (one) => {
    const log = await open(`append-${one.stored}`);
    await appendOne(log, { id: "before" });
    const sent = await scripts(redis);
    one.cut(proxy);
    await expect(appendOne(log, { id: "e1" })).rejects.toMatchObject({ code: "log_unavailable" });
    const repeat = await insist(log, "e1");
    expect(repeat.type).toBe(one.stored ? "duplicate" : "appended");
    expect((await readAll(log)).map(idOf)).toEqual(["before", "e1"]);
    // The append that was cut, if it came through, and its repeat.
    expect((await scripts(redis)) - sent).toBe(one.stored ? 2 : 1);
  });

  it("what waits behind many commands is sent when they are answered or late, and has all of its time", async () => {
    const [log, other] = [await open("many"), await open("other")];
    proxy.stall(true);
    const ends = Promise.allSettled(Array.from({ length: 1_100 }, () => log.settlement(LANE, 0)));
    // What was sent before this one is late by then as well.
    await expect(other.settlement(LANE, 0)).rejects.toMatchObject({ code: "log_unavailable" });
    proxy.stall(false);
    expect((await ends)[0]?.status).toBe("rejected");
    expect((await ends).at(-1)?.status).toBe("fulfilled");
  });

  it("after the write of a commit: the repeat is fenced by the cursor, nothing counts twice", async () => {
    const log = await open("commit");
    await appendMany(log, { count: 2 });
    await log.openLane(LANE, "start");
    const claim = await claimOn(log);
    // From here on the server knows the script.
    await commitOne(log, { claim, from: 0, to: 1 });
    const exceptions = [{ from: 1, to: 2, outcome: "dead" as const }];
    proxy.cutBeforeReply();
    await expect(commitOne(log, { claim, from: 1, to: 2, exceptions })).rejects.toMatchObject({
      code: "log_unavailable",
    });
    await until(() => log.probe().then(yes, no), "the connection");
    await expect(commitOne(log, { claim, from: 1, to: 2, exceptions })).rejects.toMatchObject({ code: "fenced" });
    expect(await log.loadLane(LANE)).toMatchObject({ cursor: 2, dead: 1, delivered: 1 });
    expect(await log.deadLetters({ limit: 10 })).toHaveLength(1);
  });

  it("in the midst of a discard of several tenants' letters: its repeat does the rest, nothing counts twice", async () => {
    const log = await open("discard");
    const lanes = [LANE, { stream: OTHER, sink: "raw" }];
    expect(new Set(lanes.map(({ stream }) => shardOf(stream.tenantId))).size).toBe(2);
    for (const lane of lanes) {
      await appendMany(log, { stream: lane.stream, count: 3 });
      await log.openLane(lane, "start");
      const claim = await claimOn(log, lane.stream);
      await commitOne(log, { lane, claim, from: 0, to: 3, exceptions: [{ from: 0, to: 3, outcome: "dead" }] });
    }
    const stamp = { at: 1, reason: "discarded" };
    const some = (sequence: number) => lanes.map((lane) => ({ lane, sequence }));
    // From here on the server knows the script.
    expect(await log.discard(some(0), stamp)).toBe(2);
    const rest = [...some(1), ...some(2)];
    proxy.cutBeforeReply();
    await expect(log.discard(rest, stamp)).rejects.toMatchObject({ code: "log_unavailable" });
    await until(() => log.probe().then(yes, no), "the connection");
    // One tenant's are gone, in one step; the other's are all there.
    expect(await log.deadLetters({ limit: 10 })).toHaveLength(2);
    expect(await log.discard(rest, stamp)).toBe(2);
    expect(await log.discard(rest, stamp)).toBe(0);
    for (const lane of lanes) {
      const counts = { dead: 0, filtered: { discarded: 3 }, delivered: 0 };
      expect(await log.recount(lane)).toMatchObject({ state: counts, recounted: counts, deadLetters: 0 });
    }
  });

  it("again and again under load: every acknowledged event is there once, and none twice", async () => {
    const log = await open("load");
    const acked = new Set<string>();
    let nth = 0;
    const done = new AbortController();
    const client = async () => {
      while (!done.signal.aborted) {
        const id = `e${nth++}`;
        for (let isAcked = false; !isAcked && !done.signal.aborted; ) {
          isAcked = (await appendOne(log, { id }).then(yes, no)) === true;
          // A refusal comes at once while there is no connection.
          await nextTurn();
          if (isAcked) acked.add(id);
        }
      }
    };
    const clients = Array.from({ length: 8 }, client);
    for (let round = 0; round < 30; round++) {
      const before = acked.size;
      if (round % 2 === 0) proxy.cut();
      else proxy.cutBeforeReply();
      await until(() => (acked.size >= before + 20 ? true : undefined), "events after a cut");
    }
    done.abort();
    await Promise.all(clients);
    await until(() => log.probe().then(yes, no), "the connection");
    const ids = (await readAll(log)).map(idOf);
    expect(new Set(ids).size).toBe(ids.length);
    expect([...acked].filter((id) => !ids.includes(id))).toEqual([]);
  });

  it("while waiting for events: what came meanwhile is announced once it is back", async () => {
    const log = await open("notices");
    const arrivals = log.arrivals(new Set(Array.from({ length: 64 }, (_, i) => i)), new AbortController().signal);
    const woken = arrivals[Symbol.asyncIterator]().next();
    proxy.cut();
    // By another process, whose connection is whole.
    await appendOne(await openTestLog(redis.url, { prefix: "notices" }), { id: "e1" });
    expect(await woken).toMatchObject({ value: [{ tenantId: "tenant_a" }] });
  });
});

const nextTurn = () => new Promise((resolve) => setImmediate(resolve));
const yes = () => true;
const no = () => undefined;

/** As a client does that got 503. */
function insist(log: RedisLog, id: string) {
  return until(() => appendOne(log, { id }).catch(no), `the repeat of ${id}`);
}

async function scripts(redis: TestRedis): Promise<number> {
  return Number(/cmdstat_evalsha:calls=(\d+)/.exec(await redis.admin.info("commandstats"))?.[1] ?? 0);
}
