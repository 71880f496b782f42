import { expect, it } from "vitest";
import { entryOf } from "../../tests/conformance/log-fixtures.ts";
import { noMetrics, SteppedClock } from "../embedded/testing.ts";
import { Appender } from "./appender.ts";
import { type Argument, errorOf, type Reply } from "./client.ts";
import { Keys, shardOf } from "./keys.ts";

const STREAM = { tenantId: "tenant_a", partition: 0 };
const ELSEWHERE = { tenantId: "tenant_b", partition: 0 };

it("in a cluster lets no script of a shard overtake another, and none wait for another shard's", async () => {
  expect(shardOf(STREAM.tenantId)).not.toBe(shardOf(ELSEWHERE.tenantId));
  const sent: Array<{ readonly shard: string; readonly answer: (replies: string[]) => void; readonly count: number }> =
    [];
  const run = (_script: unknown, keys: readonly string[], args: readonly Argument[]): Promise<Reply> => {
    const { promise, resolve } = Promise.withResolvers<Reply>();
    // Behind the settings and what is packed: a block begins with how many events it holds.
    const count = args.slice(5).reduce<number>((sum, block) => sum + (block as Buffer).readUInt32BE(0), 0);
    sent.push({
      shard: keys[0] as string,
      count,
      answer: (replies) => resolve(replies.map((text) => Buffer.from(text))),
    });
    return promise;
  };
  const keys = new Keys("pg");
  const appender = new Appender({
    ...{ writer: { run }, byShard: true, keys, logId: () => "log", clock: new SteppedClock(), metrics: noMetrics },
    ...{ windowMs: 1_000, pendingEntriesMax: 1_000, pendingBytesMax: 1 << 20, compression: "none" as const },
    onGrown: () => undefined,
    translated: errorOf,
  });
  const many = Array.from({ length: 600 }, (_, i) => entryOf({ stream: STREAM, id: `e${i}` }));
  const appended = appender.append([...many, entryOf({ stream: ELSEWHERE, id: "x" })]);
  await expect
    .poll(() => sent.map(({ shard, count }) => [shard, count]))
    .toEqual([
      [keys.id(shardOf(STREAM.tenantId)), 512],
      [keys.id(shardOf(ELSEWHERE.tenantId)), 1],
    ]);
  sent[0]?.answer(["0 1", "256 1"]);
  await expect.poll(() => sent[2]?.count).toBe(88);
  sent[2]?.answer(["512 1"]);
  sent[1]?.answer(["0 1"]);
  expect((await appended).map((one) => (one.type === "appended" ? one.sequence : -1))).toEqual([
    ...Array.from({ length: 600 }, (_, i) => i),
    0,
  ]);
});
