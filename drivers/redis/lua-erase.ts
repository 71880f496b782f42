import { Script } from "./client.ts";
import { LANE_KEYS, LETTERS } from "./lua-lanes.ts";

/**
 * Takes events out of their stream and keeps what is left of them beside it; their dead letters go with them.
 * Zeros take the place of the hash of their content: whoever repeats their name repeats them.
 * KEYS: shard's id, entries, ids, keys, erased; then lanes. ARGV: log id, partition, events; of each: entry's id,
 * sequence, event id, key, what is kept; then of each letter: lane (from 0), sequence, record. How many events and
 * letters there were.
 */
export const ERASE = new Script(`${LETTERS}
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return redis.error_reply('PGLOST ' .. KEYS[1] .. ' is gone') end
local function forget(hash, name, sequence)
  local record = redis.call('HGET', hash, name)
  if not record then return end
  local rest = string.sub(record, 17)
  local p, q = string.match(rest, '^(%d+) (%d+)')
  if p == ARGV[2] and q == sequence then redis.call('HSET', hash, name, string.rep('\\0', 16) .. rest) end
end
local events, letters, at = 0, 0, 4
for i = 1, tonumber(ARGV[3]) do
  if redis.call('XDEL', KEYS[2], ARGV[at]) == 1 then
    redis.call('ZADD', KEYS[5], ARGV[at + 1], ARGV[at + 4])
    forget(KEYS[3], ARGV[at + 2], ARGV[at + 1])
    if ARGV[at + 3] ~= '' then forget(KEYS[4], ARGV[at + 3], ARGV[at + 1]) end
    events = events + 1
  end
  at = at + 5
end
for l = at, #ARGV, 3 do
  if amended(6 + ${LANE_KEYS} * tonumber(ARGV[l]), ARGV[l + 1], 'erased', ARGV[l + 2]) then letters = letters + 1 end
end
return { events, letters }
`);
