import { Script } from "./client.ts";
import { LANE_KEYS, LETTERS } from "./lua-lanes.ts";
import { RECORDS } from "./lua-records.ts";

/**
 * Takes events out of their stream and keeps what is left of them beside it, together with what they were stored
 * with; their dead letters go with them. Zeros take the place of the hash of their content: whoever repeats their
 * name repeats them.
 * KEYS: shard's id, entries, ids, keys, kept events; then lanes. ARGV: log id, partition, blocks; of each block: its
 * entry's id, its events; of each event: sequence, what is kept, and where it is erased the names of its id and its
 * key, else twice nothing; events that are kept already; of each the same; then of each letter: lane (from 0),
 * sequence, record. How many events and letters there were, and how many blocks were there no more.
 */
export const ERASE = new Script(`${RECORDS}${LETTERS}
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return redis.error_reply('PGLOST ' .. KEYS[1] .. ' is gone') end
local function forget(hash, name, sequence)
  local record = name ~= '' and redis.call('HGET', hash, name)
  if not record then return end
  local p, q, _, known = parsed(record)
  if p ~= ARGV[2] or q ~= sequence then return end
  local from = string.find(record, known, 1, true)
  redis.call('HSET', hash, name, string.sub(record, 1, from - 1) .. erasedHash .. string.sub(record, from + #erasedHash))
end
local events, letters, missed, at = 0, 0, 0, 4
local function erase(isKept)
  local sequence, text, id, key = ARGV[at], ARGV[at + 1], ARGV[at + 2], ARGV[at + 3]
  at = at + 4
  if isKept then
    local before = redis.call('ZRANGEBYSCORE', KEYS[5], sequence, sequence)[1]
    if not before or not string.find(before, '^%d+ 0 ') then return end
    redis.call('ZREM', KEYS[5], before)
  end
  redis.call('ZADD', KEYS[5], sequence, text)
  if id == '' then return end
  forget(KEYS[3], id, sequence)
  forget(KEYS[4], key, sequence)
  events = events + 1
end
for b = 1, tonumber(ARGV[3]) do
  local count = tonumber(ARGV[at + 1])
  local isThere = redis.call('XDEL', KEYS[2], ARGV[at]) == 1
  at = at + 2
  if isThere then for n = 1, count do erase(false) end
  else
    at = at + 4 * count
    missed = missed + 1
  end
end
local kept = tonumber(ARGV[at])
at = at + 1
for n = 1, kept do erase(true) end
for l = at, #ARGV, 3 do
  if amended(6 + ${LANE_KEYS} * tonumber(ARGV[l]), ARGV[l + 1], 'erased', ARGV[l + 2]) then letters = letters + 1 end
end
return { events, letters, missed }
`);
