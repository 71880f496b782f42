import { expect, it, onTestFinished } from "vitest";
import { slotOf, streamKey } from "../../core/ingestion/log.ts";
import { appendOne, STREAM } from "../../tests/conformance/log-fixtures.ts";
import { startTestCluster } from "../../tests/helpers/redis-cluster.ts";
import { openTestLog } from "../../tests/helpers/redis-log.ts";
import { Keys, shardOf } from "./keys.ts";

it("tells of a stream that grew although no node of the cluster told of it", async () => {
  const cluster = await startTestCluster();
  onTestFinished(() => cluster.stop());
  const log = await openTestLog(cluster.url);
  await appendOne(log, { id: "told" });
  const stop = new AbortController();
  onTestFinished(() => stop.abort());
  const arrivals = log.arrivals(new Set([slotOf(STREAM)]), stop.signal)[Symbol.asyncIterator]();
  const place = [new Keys("pg").streams(shardOf(STREAM.tenantId)), streamKey(STREAM)] as const;
  const [, rest = ""] = /^1( .*)$/.exec((await cluster.admin.hget(...place)) ?? "") ?? [];
  await cluster.admin.hset(...place, `2${rest}`);
  expect(await arrivals.next()).toEqual({ done: false, value: [STREAM] });
});
