import { join } from "node:path";
import { attachEmbeddedLog, type EmbeddedLogHandle } from "../drivers/embedded/index.ts";
import { attachRedisLog, type RedisLogHandle } from "../drivers/redis/index.ts";
import { systemClock } from "../observability/system-clock.ts";
import { findPlugin } from "../plugins/registry.ts";
import { serveWorker } from "./serve.ts";

type Handle = EmbeddedLogHandle | RedisLogHandle;

const isRedis = (handle: Handle): handle is RedisLogHandle => "driver" in handle;
const folderOf = (handle: Handle): string => (isRedis(handle) ? handle.folder : handle.folder.path);

await serveWorker({
  attach: (handle, tools) =>
    isRedis(handle as Handle)
      ? attachRedisLog(handle as RedisLogHandle, { ...tools, clock: systemClock })
      : attachEmbeddedLog(handle as EmbeddedLogHandle),
  findPlugin,
  flightFolder: (handle, workerId) => join(folderOf(handle as Handle), "flights", workerId),
});
