import { type LaneId, laneKey, type Stream, streamKey } from "../../core/ingestion/log.ts";
import { type Client, listOf, Script } from "./client.ts";
import { ALL_SHARDS, type Keys, laneKeyList } from "./keys.ts";
import { parseStreamKey } from "./reader.ts";

/** What was given up when a loss was accepted. */
export interface AcceptedLoss {
  /** Shards that had been emptied. */
  readonly shards: number;
  /** Streams whose events are gone. */
  readonly streams: number;
  /** Lanes that had events left to deliver in those streams. */
  readonly lanes: number;
  /** Undelivered events of these lanes; they are `erased` in their ledgers. */
  readonly events: number;
}

/** A stream without its entries begins at its end. KEYS: entries, streams. ARGV: stream key. Whether it was so. */
const REPAIR_STREAM = new Script(`
local stop, first, last = string.match(redis.call('HGET', KEYS[2], ARGV[1]), '^(%d+) (%d+) (%d+)$')
if tonumber(stop) <= tonumber(first) or redis.call('EXISTS', KEYS[1]) == 1 then return 0 end
redis.call('HSET', KEYS[2], ARGV[1], stop .. ' ' .. stop .. ' ' .. last)
return 1
`);

/**
 * What a lane has not delivered of what is gone counts as erased. KEYS: lanes, streams, then the lane.
 * ARGV: lane key, stream key, now. How many events; -1 for a lane that is itself gone: it will begin anew.
 */
const REPAIR_LANE = new Script(`
local cursor = tonumber(redis.call('HGET', KEYS[3], 'cursor') or '-1')
if cursor < 0 then
  redis.call('HDEL', KEYS[1], ARGV[1])
  return -1
end
local first = tonumber(string.match(redis.call('HGET', KEYS[2], ARGV[2]) or '0 0 0', '^%d+ (%d+)'))
if cursor >= first then return 0 end
local from, to = string.format('%.0f', cursor), string.format('%.0f', first)
redis.call('HSET', KEYS[3], 'cursor', to)
redis.call('HINCRBY', KEYS[3], 'erased', first - cursor)
redis.call('XADD', KEYS[4], to .. '-0', 's', '{"from":' .. from .. ',"to":' .. to .. ',"exceptions":[{"from":' .. from .. ',"to":' .. to .. ',"outcome":"erased"}],"configRevision":0,"settledAt":' .. ARGV[3] .. '}')
return first - cursor
`);

/**
 * An operator accepts what is lost: emptied shards belong to the log again, streams without events begin at
 * their end, and what lanes had left to deliver of them is erased. Nothing that is there is touched.
 */
export async function acceptLoss(
  { client, keys }: { readonly client: Client; readonly keys: Keys },
  { logId, now }: { readonly logId: string; readonly now: number },
): Promise<AcceptedLoss> {
  const sum = { shards: 0, streams: 0, lanes: 0, events: 0 };
  for (const shard of ALL_SHARDS) {
    const before = await client.call("SET", keys.id(shard), logId, "GET");
    if (String(before) !== logId) sum.shards++;
    for (const name of listOf(await client.call("HKEYS", keys.streams(shard)))) {
      const stream = parseStreamKey(String(name));
      sum.streams += Number(await client.run(REPAIR_STREAM, streamKeys(keys, shard, stream), [streamKey(stream)]));
    }
    for (const text of listOf(await client.call("HVALS", keys.lanes(shard)))) {
      const lane = JSON.parse(String(text)) as LaneId;
      const names = [keys.lanes(shard), keys.streams(shard), ...laneKeyList(keys.lane(lane))];
      const events = Number(await client.run(REPAIR_LANE, names, [laneKey(lane), streamKey(lane.stream), now]));
      if (events === 0) continue;
      sum.lanes++;
      sum.events += Math.max(0, events);
    }
  }
  await client.call("SET", keys.shared("id"), logId);
  await client.call("SET", keys.shared("decision"), `${now} ${JSON.stringify(sum)}`);
  return sum;
}

function streamKeys(keys: Keys, shard: number, stream: Stream): string[] {
  return [keys.entries(stream), keys.streams(shard)];
}
