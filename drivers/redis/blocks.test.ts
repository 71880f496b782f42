import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { decodeEvent } from "../../core/canonical/codec.ts";
import { appendMany, appendOne, entryOf, idOf, OTHER, readAll, STREAM } from "../../tests/conformance/log-fixtures.ts";
import { startTestRedis, type TestRedis } from "../../tests/helpers/redis.ts";
import { openTestLog } from "../../tests/helpers/redis-log.ts";
import { packBlock, unpackBlock } from "./block.ts";
import { Keys } from "./keys.ts";

const AT = 1_800_000_000_000;

describe("events that are stored together", () => {
  let redis: TestRedis;
  beforeAll(async () => {
    redis = await startTestRedis();
  });
  afterAll(() => redis.stop());

  it("are one entry of the stream for each call, and read as events from any place on", async () => {
    const log = await openTestLog(redis.url, { prefix: "together" });
    await appendMany(log, { count: 100 });
    await appendMany(log, { count: 5, prefix: "f" });
    expect(await redis.admin.xlen(new Keys("together").entries(STREAM))).toBe(2);
    const all = await readAll(log);
    expect(all.map(({ sequence }) => sequence)).toEqual(Array.from({ length: 105 }, (_, i) => i));
    const some = await log.read(STREAM, 97, { entries: 5, bytes: 1 << 20 });
    expect(some.map(idOf)).toEqual(["e97", "e98", "e99", "f0", "f1"]);
  });

  it("are cut into blocks of a bounded size, however many come in one call", async () => {
    const log = await openTestLog(redis.url, { prefix: "cut" });
    const payload = JSON.stringify({ note: "x".repeat(10_000) });
    await log.append(Array.from({ length: 30 }, (_, i) => entryOf({ id: `e${i}`, payload })));
    const sizes = (await redis.admin.xrangeBuffer(new Keys("cut").entries(STREAM), "-", "+")).map(
      ([, fields]) => (fields[1] as Buffer).length,
    );
    expect(sizes).toHaveLength(5);
    expect(Math.max(...sizes)).toBeLessThan(70_000);
    expect(await readAll(log)).toHaveLength(30);
  });

  it("go without those that are repeats", async () => {
    const log = await openTestLog(redis.url, { prefix: "repeats" });
    await appendOne(log, { id: "e1" });
    const results = await appendMany(log, { count: 3 }).catch((error: Error) => error.message);
    expect(results).toContain("duplicate");
    expect((await readAll(log)).map(idOf)).toEqual(["e1", "e0", "e2"]);
    expect(await log.find(STREAM.tenantId, "e2")).toMatchObject({ sequence: 2 });
    const again = await log.append([entryOf({ id: "e2" }), entryOf({ id: "e2", payload: '{"n":2}' })]);
    expect(again).toMatchObject([
      { type: "duplicate", sequence: 2 },
      { type: "conflict", field: "event_id" },
    ]);
    expect(await log.append([entryOf({ id: "e9" }), entryOf({ id: "e9" })])).toMatchObject([
      { type: "appended", sequence: 3 },
      { type: "duplicate", sequence: 3 },
    ]);
  });

  it("stay when one of them is erased, also by two at the same time", async () => {
    const [one, other] = await Promise.all([1, 2].map(() => openTestLog(redis.url, { prefix: "erased" })));
    if (one === undefined || other === undefined) throw new Error("no log");
    await appendMany(one, { count: 10 });
    const sums = await Promise.all([one.erase(STREAM, [3, 4], AT), other.erase(STREAM, [4, 7], AT)]);
    expect(sums[0].events + sums[1].events).toBe(3);
    const all = await readAll(one);
    expect(all.map(idOf)).toEqual(Array.from({ length: 10 }, (_, i) => `e${i}`));
    expect(all.filter(({ erasedAt }) => erasedAt !== undefined).map(({ sequence }) => sequence)).toEqual([3, 4, 7]);
    expect(all.map(({ bytes }) => "n" in decodeEvent(bytes).payload).filter(Boolean)).toHaveLength(7);
  });

  it("of other streams are stored when one stream is gone", async () => {
    const log = await openTestLog(redis.url, { prefix: "gone" });
    await appendOne(log, { id: "e0" });
    await redis.admin.del(new Keys("gone").entries(STREAM));
    const answers = await Promise.allSettled([
      appendOne(log, { id: "e1" }),
      appendOne(log, { stream: OTHER, id: "o1" }),
      appendOne(log, { id: "e2" }),
    ]);
    expect(answers.map(({ status }) => status)).toEqual(["rejected", "fulfilled", "rejected"]);
    expect(await log.find(STREAM.tenantId, "e1")).toBeUndefined();
    expect((await readAll(log, OTHER)).map(idOf)).toEqual(["o1"]);
  });

  it("of a log in another format are refused by name, and left alone", async () => {
    await redis.admin.set(new Keys("older").shared("id"), "0123456789abcdef01234567");
    const message = expect.stringMatching(
      /under the prefix "older" has another format.*another log\.prefix/,
    ) as unknown;
    await expect(openTestLog(redis.url, { prefix: "older" })).rejects.toMatchObject({ message });
    expect(await redis.admin.keys("*older*")).toEqual([new Keys("older").shared("id")]);
  });
});

it("packs events with and without compression, and unpacks either", () => {
  const events = [Buffer.from("{}"), Buffer.from(`{"a":"${"x".repeat(5_000)}"}`), Buffer.alloc(0)];
  for (const compression of ["none", "zstd"] as const)
    expect(unpackBlock(packBlock(events, compression))).toEqual(events);
  expect(packBlock(events, "zstd").length).toBeLessThan(200);
});
