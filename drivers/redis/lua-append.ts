import { BLOCK_FIELD } from "./block.ts";
import { Script } from "./client.ts";
import { RECORDS } from "./lua-records.ts";

/** Keys of each shard: id, streams, ids, keys. */
export const SHARD_KEYS = 4;

/**
 * KEYS: of each shard its id, streams, ids and keys; then the entries of each stream, shard by shard.
 * ARGV: log id, now, window, channel; packed, of each shard: names of streams; of each event the name of its id, and
 * the end of its record; which of the events have a key, and the keys' names; of each block its stream and how many
 * events; 1 where an id or a key comes more than once; then the blocks.
 *
 * Gives of each block `first time`, where all of it was stored; or what became of each event; or `!` and why nothing was.
 * What is called for once for a shard is not called for each event: that is most of what an event costs.
 * An entry is added before its ids are claimed: a stream that is gone is told of by that, and leaves the others be.
 * Something is always written: a server is asked whether others have what came before that, and a repeat needs to
 * know it of the first.
 */
export const APPEND = new Script(`${RECORDS}
local call, try, format, sub, match = redis.call, redis.pcall, string.format, string.sub, string.match
local logid, now, window = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
local shards = cmsgpack.unpack(ARGV[5])
for i = 1, #shards do
  local id = KEYS[${SHARD_KEYS} * (i - 1) + 1]
  if call('GET', id) ~= logid then return redis.error_reply('PGLOST ' .. id .. ' is gone') end
end
local function verdict(record, time, isKey, eventId, hash, key)
  local p, q, t, known, rest = parsed(record)
  if time - tonumber(t) >= window then return nil end
  local first = eventId
  if isKey then first = rest end
  if known == hash or known == erasedHash then return 'd ' .. p .. ' ' .. q .. ' ' .. t .. ' ' .. first end
  if isKey or (key ~= '' and key == rest) then return 'k ' .. first end
  return 'i ' .. first
end
-- Of the events that are not repeats.
local function remains(block, count, kept)
  local at = 5 + 4 * count
  local head, bytes, n = { struct.pack('>I4', #kept) }, {}, 1
  for j = 1, count do
    local number = struct.unpack('>I4', block, 1 + 4 * j)
    local length = number
    if length >= 2147483648 then length = length - 2147483648 end
    if kept[n] == j then
      head[n + 1] = struct.pack('>I4', number)
      bytes[n] = sub(block, at, at + length - 1)
      n = n + 1
    end
    at = at + length
  end
  return table.concat(head) .. table.concat(bytes)
end
local out, told = {}, {}
local argument, entries = 5, ${SHARD_KEYS} * #shards
for i = 1, #shards do
  local names, ids, records, keyed, keys, blocks, repeats = unpack(shards[i])
  local base = ${SHARD_KEYS} * (i - 1)
  local metas = call('HMGET', KEYS[base + 2], unpack(names))
  local known = call('HMGET', KEYS[base + 3], unpack(ids))
  local keyOf, taken = {}, {}
  if #keys > 0 then taken = call('HMGET', KEYS[base + 4], unpack(keys)) end
  for n = 1, #keys do keyOf[keyed[n]] = n end
  local open, grown, place = {}, {}, ''
  local claims, c, keyClaims, k = {}, 0, {}, 0
  -- Claimed by this script, where names come again.
  local seen, seenKeys = {}, {}
  local function claim(j, record, index)
    claims[c + 1], claims[c + 2] = ids[j], record
    c = c + 2
    if keyOf[j] then
      keyClaims[k + 1] = keys[keyOf[j]]
      keyClaims[k + 2] = place .. sub(records[j], 1, 16) .. index .. ' ' .. match(ids[j], '^[^/]*/(.*)$')
      k = k + 2
    end
  end
  -- What becomes of each event of a block with repeats, and those that are stored.
  local function judged(s, from, count)
    local said, kept, own, ownKeys = {}, {}, {}, {}
    for n = 1, count do
      local j = from + n
      local name, key = ids[j], keys[keyOf[j]]
      local eventId, hash, rest = match(name, '^[^/]*/(.*)$'), sub(records[j], 1, 16), match(records[j], '^%d+ (.*)$', 17)
      local record = own[name] or seen[name] or known[j]
      local found = record and verdict(record, s.time, false, eventId, hash, rest)
      if not found and key then
        record = ownKeys[key] or seenKeys[key] or taken[keyOf[j]]
        found = record and verdict(record, s.time, true, eventId, hash, rest)
      end
      if not found then
        local index = format('%.0f', #kept)
        kept[#kept + 1] = n
        record = place .. hash .. index .. ' ' .. rest
        claim(j, record, index)
        own[name] = record
        if key then ownKeys[key] = keyClaims[k] end
        found = 'a ' .. format('%.0f', s.stop + #kept - 1) .. ' ' .. s.timeText
      end
      said[n] = found
    end
    return said, kept, own, ownKeys
  end
  local at = 0
  for b = 1, #blocks, 2 do
    local s, count = open[blocks[b]], blocks[b + 1]
    if not s then
      local name = names[blocks[b]]
      local stop, first, last = match(metas[blocks[b]] or '0 0 0', '^(%d+) (%d+) (%d+)$')
      local time = tonumber(last)
      if now > time then time = now end
      s = { name = name, entries = KEYS[entries + blocks[b]], partition = match(name, '/(%d+)$') }
      s.stop, s.first, s.time, s.timeText = tonumber(stop), tonumber(first), time, format('%.0f', time)
      open[blocks[b]] = s
    end
    argument = argument + 1
    local firstText, c0, k0 = format('%.0f', s.stop), c, k
    place = s.partition .. ' ' .. firstText .. ' ' .. s.timeText .. ' '
    local isNew = repeats == 0
    for j = at + 1, at + count do
      if known[j] or taken[keyOf[j]] then
        isNew = false
        break
      end
    end
    local block, stored, said, kept, own, ownKeys = ARGV[argument], count, nil, nil, nil, nil
    if isNew then for j = at + 1, at + count do claim(j, place .. records[j], j - at - 1) end
    else
      said, kept, own, ownKeys = judged(s, at, count)
      stored = #kept
      if stored > 0 and stored < count then block = remains(block, count, kept) end
    end
    local added = true
    if stored > 0 then
      local id = format('%.0f', s.stop + stored) .. '-' .. s.timeText
      if s.stop > s.first then added = try('XADD', s.entries, 'NOMKSTREAM', id, '${BLOCK_FIELD}', block)
      else added = try('XADD', s.entries, id, '${BLOCK_FIELD}', block) end
    end
    if added and (type(added) ~= 'table' or not added.err) then
      out[#out + 1] = said or (firstText .. ' ' .. s.timeText)
      if own then
        for name, record in pairs(own) do seen[name] = record end
        for name, record in pairs(ownKeys) do seenKeys[name] = record end
      end
      if stored > 0 then
        if not s.grown then grown[#grown + 1] = s end
        s.grown, s.stop = true, s.stop + stored
      end
    else
      out[#out + 1] = '!' .. (added and added.err or 'PGLOST ' .. s.entries .. ' is gone')
      c, k = c0, k0
    end
    at = at + count
  end
  entries = entries + #names
  if c > 0 then call('HSET', KEYS[base + 3], unpack(claims, 1, c)) end
  if k > 0 then call('HSET', KEYS[base + 4], unpack(keyClaims, 1, k)) end
  if #grown > 0 then
    local fields = {}
    for g = 1, #grown do
      local s = grown[g]
      local stop = format('%.0f', s.stop)
      fields[2 * g - 1], fields[2 * g] = s.name, stop .. ' ' .. format('%.0f', s.first) .. ' ' .. s.timeText
      told[#told + 1] = s.name .. ' ' .. stop
    end
    call('HSET', KEYS[base + 2], unpack(fields))
  end
end
if #told > 0 then call('PUBLISH', ARGV[4], table.concat(told, '\\n'))
else call('SET', KEYS[1], logid) end
return out
`);
