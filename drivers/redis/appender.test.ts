import { expect, it } from "vitest";
import { entryOf } from "../../tests/conformance/log-fixtures.ts";
import { noMetrics, SteppedClock } from "../embedded/testing.ts";
import { Appender } from "./appender.ts";
import { type Argument, errorOf, type Reply } from "./client.ts";
import { Keys, shardOf } from "./keys.ts";

const STREAM = { tenantId: "tenant_a", partition: 0 };
const KEYS = new Keys("pg");
const ELSEWHERE = { tenantId: "tenant_b", partition: 0 };

interface Sent {
  readonly shard: string;
  readonly count: number;
  readonly answer: (replies: readonly string[]) => void;
}

/** An appender whose scripts are answered by the test. */
function appenderOf(byShard: boolean): { readonly appender: Appender; readonly sent: Sent[] } {
  const sent: Sent[] = [];
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
  const appender = new Appender({
    ...{ writer: { run }, byShard, keys: KEYS, logId: () => "log", clock: new SteppedClock(), metrics: noMetrics },
    ...{ windowMs: 1_000, pendingEntriesMax: 1_000, pendingBytesMax: 1 << 20, compression: "none" as const },
    onGrown: () => undefined,
    translated: errorOf,
  });
  return { appender, sent };
}

/** All that was started in this turn of the event loop is sent. */
const turn = () => new Promise((resolve) => setImmediate(resolve));

it("sends a second commit while the first is under way, and gathers what comes meanwhile for the next", async () => {
  const { appender, sent } = appenderOf(false);
  const counts = () => sent.map(({ count }) => count);
  const one = (id: string) => appender.append([entryOf({ stream: STREAM, id })]);
  const first = one("e0");
  await expect.poll(counts).toEqual([1]);
  const second = one("e1");
  await expect.poll(counts).toEqual([1, 1]);
  const rest = [one("e2"), one("e3")];
  const closed = appender.close();
  await turn();
  expect(counts()).toEqual([1, 1]);
  sent[0]?.answer(["0 1"]);
  expect(await first).toMatchObject([{ sequence: 0 }]);
  await expect.poll(counts).toEqual([1, 1, 2]);
  sent[2]?.answer(["2 1"]);
  sent[1]?.answer(["1 1"]);
  expect(await second).toMatchObject([{ sequence: 1 }]);
  expect(await Promise.all(rest)).toMatchObject([[{ sequence: 2 }], [{ sequence: 3 }]]);
  await closed;
});

it("in a cluster lets no script of a shard overtake another, and none wait for another shard's", async () => {
  expect(shardOf(STREAM.tenantId)).not.toBe(shardOf(ELSEWHERE.tenantId));
  const keys = KEYS;
  const { appender, sent } = appenderOf(true);
  const many = Array.from({ length: 600 }, (_, i) => entryOf({ stream: STREAM, id: `e${i}` }));
  const appended = appender.append([...many, entryOf({ stream: ELSEWHERE, id: "x" })]);
  await expect
    .poll(() => sent.map(({ shard, count }) => [shard, count]))
    .toEqual([
      [keys.id(shardOf(STREAM.tenantId)), 512],
      [keys.id(shardOf(ELSEWHERE.tenantId)), 1],
    ]);
  const later = appender.append([entryOf({ stream: ELSEWHERE, id: "y" })]);
  await turn();
  expect(sent).toHaveLength(2);
  sent[0]?.answer(["0 1", "256 1"]);
  await expect.poll(() => sent[2]?.count).toBe(88);
  sent[2]?.answer(["512 1"]);
  sent[1]?.answer(["0 1"]);
  expect((await appended).map((one) => (one.type === "appended" ? one.sequence : -1))).toEqual([
    ...Array.from({ length: 600 }, (_, i) => i),
    0,
  ]);
  await expect.poll(() => sent[3]?.count).toBe(1);
  sent[3]?.answer(["1 1"]);
  expect(await later).toMatchObject([{ sequence: 1 }]);
});
