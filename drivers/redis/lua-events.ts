import { Script } from "./client.ts";
import { RECORDS } from "./lua-records.ts";

/** KEYS: entries, streams. ARGV: stream key, time. The first sequence at or after the time, by halving. */
export const SEEK = new Script(`
local meta = redis.call('HGET', KEYS[2], ARGV[1])
if not meta then return '0' end
local stop, first = string.match(meta, '^(%d+) (%d+)')
local low, high, time = tonumber(first), tonumber(stop), tonumber(ARGV[2])
while low < high do
  local middle = math.floor((low + high) / 2)
  local found = redis.call('XRANGE', KEYS[1], string.format('%.0f', middle + 1), '+', 'COUNT', 1)[1]
  local t = found and tonumber(string.match(found[1], '-(%d+)$'))
  if not t or t >= time then high = middle else low = middle + 1 end
end
return string.format('%.0f', low)
`);

/**
 * Lets entries go together with what is known of their ids, but for those that are still to be recognised.
 * KEYS: shard's id, entries, streams, ids, keys, expiring, erased. ARGV: log id, stream key, before, now, window,
 * partition; of each event: sequence, time, the names of its id and of its key, which may be empty.
 */
export const TRIM = new Script(`${RECORDS}
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return redis.error_reply('PGLOST ' .. KEYS[1] .. ' is gone') end
local meta = redis.call('HGET', KEYS[3], ARGV[2])
if not meta then return 0 end
local before, now, window = tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5])
local stop, first, last = string.match(meta, '^(%d+) (%d+) (%d+)$')
local function forget(hash, offset, kind)
  local names, events = {}, {}
  for at = 7, #ARGV, 4 do
    if ARGV[at + offset] ~= '' then
      names[#names + 1] = ARGV[at + offset]
      events[#events + 1] = at
    end
  end
  if #names == 0 then return end
  local records, over, later = redis.call('HMGET', hash, unpack(names)), {}, {}
  for i = 1, #names do
    if records[i] then
      local p, q = parsed(records[i])
      local sequence, time = ARGV[events[i]], tonumber(ARGV[events[i] + 1])
      if p ~= ARGV[6] or q ~= sequence then -- Another event has the name by now.
      elseif now - time >= window then over[#over + 1] = names[i]
      else
        later[#later + 1] = time + window
        later[#later + 1] = kind .. ' ' .. p .. ' ' .. q .. ' ' .. names[i]
      end
    end
  end
  if #over > 0 then redis.call('HDEL', hash, unpack(over)) end
  if #later > 0 then redis.call('ZADD', KEYS[6], unpack(later)) end
end
forget(KEYS[4], 2, 'i')
forget(KEYS[5], 3, 'k')
if before > tonumber(first) then
  redis.call('XTRIM', KEYS[2], 'MINID', '=', string.format('%.0f', before + 1))
  redis.call('ZREMRANGEBYSCORE', KEYS[7], '-inf', '(' .. string.format('%.0f', before))
  redis.call('HSET', KEYS[3], ARGV[2], stop .. ' ' .. string.format('%.0f', before) .. ' ' .. last)
end
return 1
`);

/** Forgets ids of trimmed events whose window is over. KEYS: expiring, ids, keys. ARGV: members as TRIM wrote them. */
export const EXPIRE = new Script(`${RECORDS}
for i = 1, #ARGV do
  local kind, p, q, name = string.match(ARGV[i], '^(%a) (%d+) (%d+) (.*)$')
  local hash = KEYS[2]
  if kind == 'k' then hash = KEYS[3] end
  local record = redis.call('HGET', hash, name)
  if record then
    local partition, sequence = parsed(record)
    if partition == p and sequence == q then redis.call('HDEL', hash, name) end
  end
end
redis.call('ZREM', KEYS[1], unpack(ARGV))
return #ARGV
`);
