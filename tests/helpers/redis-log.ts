import { randomUUID } from "node:crypto";
import { onTestFinished } from "vitest";
import { noMetrics, quietLogger, SteppedClock } from "../../drivers/embedded/testing.ts";
import { openRedisLog, type RedisLog, type RedisLogOptions } from "../../drivers/redis/index.ts";

/** Opens a log that is closed when the test ends. */
export async function openTestLog(url: string, options: Partial<RedisLogOptions> = {}): Promise<RedisLog> {
  const log = await openRedisLog({
    connection: { url },
    instance: randomUUID(),
    folder: "unused",
    clock: new SteppedClock(),
    logger: quietLogger,
    metrics: noMetrics,
    ...options,
  });
  onTestFinished(() => log.close());
  return log;
}
