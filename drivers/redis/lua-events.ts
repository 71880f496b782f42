import { Script } from "./client.ts";

/*
 * A record of an id or a key: 16 bytes of the content's hash, then `partition sequence received-at rest`,
 * where `rest` is the event's idempotency key (of an id) or its event id (of a key).
 */

/**
 * KEYS: of each shard its id and its streams; of each stream its entries, ids and keys.
 * ARGV: log id, now, window, channel, shards, streams; of each stream: shard, stream key; entries; of each
 * entry: stream, event id, key, hash, field, bytes. Nothing is written before all was checked. Something is always
 * written: a server is asked whether others have what came before that, and a repeat needs to know it of the first.
 */
export const APPEND = new Script(`
local logid, now, window, channel = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3]), ARGV[4]
local shards, streams = tonumber(ARGV[5]), tonumber(ARGV[6])
for i = 1, shards do
  if redis.call('GET', KEYS[2 * i - 1]) ~= logid then return redis.error_reply('PGLOST ' .. KEYS[2 * i - 1] .. ' is gone') end
end
local at = 6
local open = {}
for i = 1, streams do
  local base = 2 * shards + 3 * (i - 1)
  local name = ARGV[at + 2]
  local s = { meta = KEYS[2 * tonumber(ARGV[at + 1])], name = name, e = KEYS[base + 1], i = KEYS[base + 2], k = KEYS[base + 3], stop = 0, first = 0, last = 0 }
  at = at + 2
  local meta = redis.call('HGET', s.meta, name)
  if meta then
    local stop, first, last = string.match(meta, '^(%d+) (%d+) (%d+)$')
    s.stop, s.first, s.last = tonumber(stop), tonumber(first), tonumber(last)
  end
  if s.stop > s.first and redis.call('EXISTS', s.e) == 0 then return redis.error_reply('PGLOST ' .. s.e .. ' is gone') end
  s.partition = string.match(name, '/(%d+)$')
  open[i] = s
end
local function verdict(record, hash, own, isKey, eventId)
  local p, q, t, rest = string.match(string.sub(record, 17), '^(%d+) (%d+) (%d+) (.*)$')
  local first = eventId
  if isKey then first = rest end
  local known = string.sub(record, 1, 16)
  if known == hash or known == string.rep('\\0', 16) then return 'd ' .. p .. ' ' .. q .. ' ' .. t .. ' ' .. first end
  if isKey or (own ~= '' and own == rest) then return 'k ' .. first end
  return 'i ' .. first
end
local function within(record, time)
  local t = string.match(string.sub(record, 17), '^%d+ %d+ (%d+)')
  return time - tonumber(t) < window
end
local call, format = redis.call, string.format
local out = {}
local count = tonumber(ARGV[at + 1])
at = at + 1
for n = 1, count do
  local s = open[tonumber(ARGV[at + 1])]
  local eventId, key, hash, field, bytes = ARGV[at + 2], ARGV[at + 3], ARGV[at + 4], ARGV[at + 5], ARGV[at + 6]
  at = at + 6
  local time = now
  if s.last > time then time = s.last end
  if s.time ~= time then s.time, s.timeText = time, format('%.0f', time) end
  local q = format('%.0f', s.stop)
  local place = hash .. s.partition .. ' ' .. q .. ' ' .. s.timeText .. ' '
  local found = nil
  -- Mostly new: one step looks and claims.
  local isNew = call('HSETNX', s.i, eventId, place .. key) == 1
  if not isNew then
    local known = call('HGET', s.i, eventId)
    if within(known, time) then found = verdict(known, hash, key, false, eventId) end
  end
  if not found and key ~= '' and call('HSETNX', s.k, key, place .. eventId) == 0 then
    local known = call('HGET', s.k, key)
    if within(known, time) then
      found = verdict(known, hash, key, true, eventId)
      if isNew then call('HDEL', s.i, eventId) end
    else call('HSET', s.k, key, place .. eventId) end
  end
  if not found then
    if not isNew then call('HSET', s.i, eventId, place .. key) end
    call('XADD', s.e, format('%.0f', s.stop + 1) .. '-' .. s.timeText, field, bytes)
    s.stop, s.last, s.grown = s.stop + 1, time, true
    found = 'a ' .. q .. ' ' .. s.timeText
  end
  out[n] = found
end
local told = {}
for i = 1, streams do
  local s = open[i]
  if s.grown then
    local stop = string.format('%.0f', s.stop)
    redis.call('HSET', s.meta, s.name, stop .. ' ' .. string.format('%.0f', s.first) .. ' ' .. string.format('%.0f', s.last))
    told[#told + 1] = s.name .. ' ' .. stop
  end
end
if #told > 0 then redis.call('PUBLISH', channel, table.concat(told, '\\n'))
else redis.call('SET', KEYS[1], logid) end
return out
`);

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
 * KEYS: shard's id, entries, streams, ids, keys, expiring, erased. ARGV: log id, stream key, before, now, window, tenant,
 * partition; of each entry: sequence, time, event id, key.
 */
export const TRIM = new Script(`
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return redis.error_reply('PGLOST ' .. KEYS[1] .. ' is gone') end
local meta = redis.call('HGET', KEYS[3], ARGV[2])
if not meta then return 0 end
local before, now, window = tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5])
local stop, first, last = string.match(meta, '^(%d+) (%d+) (%d+)$')
local function forget(hash, name, sequence, time, kind)
  local record = redis.call('HGET', hash, name)
  if not record then return end
  local p, q = string.match(string.sub(record, 17), '^(%d+) (%d+)')
  if p ~= ARGV[7] or q ~= sequence then return end
  if now - tonumber(time) >= window then redis.call('HDEL', hash, name)
  else redis.call('ZADD', KEYS[6], tonumber(time) + window, kind .. ' ' .. ARGV[6] .. ' ' .. p .. ' ' .. q .. ' ' .. name) end
end
for at = 8, #ARGV, 4 do
  forget(KEYS[4], ARGV[at + 2], ARGV[at], ARGV[at + 1], 'i')
  if ARGV[at + 3] ~= '' then forget(KEYS[5], ARGV[at + 3], ARGV[at], ARGV[at + 1], 'k') end
end
if before > tonumber(first) then
  redis.call('XTRIM', KEYS[2], 'MINID', '=', string.format('%.0f', before + 1))
  redis.call('ZREMRANGEBYSCORE', KEYS[7], '-inf', '(' .. string.format('%.0f', before))
  redis.call('HSET', KEYS[3], ARGV[2], stop .. ' ' .. string.format('%.0f', before) .. ' ' .. last)
end
return 1
`);

/** Forgets ids of trimmed events whose window is over. KEYS: expiring, ids, keys. ARGV: members as TRIM wrote them. */
export const EXPIRE = new Script(`
for i = 1, #ARGV do
  local kind, tenant, p, q, name = string.match(ARGV[i], '^(%a) (%S+) (%d+) (%d+) (.*)$')
  local hash = KEYS[2]
  if kind == 'k' then hash = KEYS[3] end
  local record = redis.call('HGET', hash, name)
  if record and string.sub(record, 17, 16 + #p + #q + 2) == p .. ' ' .. q .. ' ' then redis.call('HDEL', hash, name) end
  redis.call('ZREM', KEYS[1], ARGV[i])
end
return #ARGV
`);
