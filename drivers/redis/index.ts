export { attachRedisLog, openRedisLog } from "./log.ts";
export type { RedisLog, RedisLogHandle, RedisLogOptions } from "./options.ts";
