import { Script } from "./client.ts";

/** Refuses when the document is not at the version that the caller knows; 0: there is none. */
const EXPECT_VERSION = `
local current = redis.call('HGET', KEYS[1], ARGV[1])
local version = 0
if current then version = tonumber(string.match(current, '^(%d+)')) end
if version ~= tonumber(ARGV[2]) then
  return redis.error_reply('PGVERSION ' .. ARGV[1] .. ' is at version ' .. version .. ', not ' .. ARGV[2])
end
`;

/** KEYS: documents, names. ARGV: key, version, value. The new version. */
export const PUT = new Script(`${EXPECT_VERSION}
redis.call('HSET', KEYS[1], ARGV[1], string.format('%.0f', version + 1) .. '\\n' .. ARGV[3])
redis.call('ZADD', KEYS[2], 0, ARGV[1])
return version + 1
`);

/** KEYS: documents, names. ARGV: key, version. */
export const REMOVE = new Script(`${EXPECT_VERSION}
redis.call('HDEL', KEYS[1], ARGV[1])
redis.call('ZREM', KEYS[2], ARGV[1])
return 'OK'
`);

/** Where there is no log yet, there is this one. KEYS: log id. ARGV: id. The log's id, and whether it is complete. */
export const IDENTIFY = new Script(`
redis.call('SETNX', KEYS[1], 'new ' .. ARGV[1])
return redis.call('GET', KEYS[1])
`);

/**
 * Renews the lease of a worker and balances who holds what. KEYS: epochs, owners, workers. ARGV: worker, lease in
 * ms, channel, slots in all, \`join\` the first time (what it held before is claimed anew).
 * Gives what it holds as slot, epoch, and 1 where the claim is new. All by the server's clock.
 */
export const CLAIM = new Script(`
local me, lease, slots = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[4])
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
local before = redis.call('ZCARD', KEYS[3])
redis.call('ZREMRANGEBYSCORE', KEYS[3], '-inf', '(' .. string.format('%.0f', now))
redis.call('ZADD', KEYS[3], string.format('%.0f', now + lease), me)
local alive = {}
local members = redis.call('ZRANGE', KEYS[3], 0, -1)
for i = 1, #members do alive[members[i]] = true end
local most = math.ceil(slots / #members)
local least = math.floor(slots / #members)
local owners, mine, free = {}, {}, {}
local all = redis.call('HGETALL', KEYS[2])
for i = 1, #all, 2 do owners[tonumber(all[i])] = all[i + 1] end
local rich = 0
local held = {}
for slot = 0, slots - 1 do
  local owner = owners[slot]
  if owner == me then mine[#mine + 1] = slot
  elseif not owner or not alive[owner] then free[#free + 1] = slot
  else held[owner] = (held[owner] or 0) + 1 end
end
for _, count in pairs(held) do if count > least then rich = rich + 1 end end
local extra = slots - least * #members
local quota = least
if rich < extra then quota = most end
local changed = before ~= #members
local fresh = {}
if ARGV[5] == 'join' then for i = 1, #mine do fresh[mine[i]] = true end end
while #mine > quota do
  redis.call('HDEL', KEYS[2], table.remove(mine))
  changed = true
end
while #mine < quota and #free > 0 do
  local slot = table.remove(free)
  redis.call('HSET', KEYS[2], slot, me)
  mine[#mine + 1] = slot
  fresh[slot] = true
  changed = true
end
if changed then redis.call('PUBLISH', ARGV[3], me) end
local out = {}
for i = 1, #mine do
  local epoch = redis.call('HGET', KEYS[1], mine[i]) or '0'
  if fresh[mine[i]] then
    -- A server that has taken another's place may lack the last epochs: by the clock none is given out twice.
    epoch = string.format('%.0f', math.max(tonumber(epoch) + 1, now))
    redis.call('HSET', KEYS[1], mine[i], epoch)
  end
  out[#out + 1] = mine[i]
  out[#out + 1] = tonumber(epoch)
  if fresh[mine[i]] then out[#out + 1] = 1 else out[#out + 1] = 0 end
end
return out
`);

/** Gives all slots back. KEYS: owners, workers. ARGV: worker, channel. */
export const RELEASE = new Script(`
redis.call('ZREM', KEYS[2], ARGV[1])
local all = redis.call('HGETALL', KEYS[1])
for i = 1, #all, 2 do if all[i + 1] == ARGV[1] then redis.call('HDEL', KEYS[1], all[i]) end end
redis.call('PUBLISH', ARGV[2], ARGV[1])
return 'OK'
`);

/**
 * From here on older epochs are fenced in this shard. KEYS: shard's id, fences. ARGV: log id; of each slot: slot,
 * epoch. Gives the history of the server, which begins anew in one that takes another's place.
 */
export const FENCE = new Script(`
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return redis.error_reply('PGLOST ' .. KEYS[1] .. ' is gone') end
for at = 2, #ARGV, 2 do
  local current = redis.call('HGET', KEYS[2], ARGV[at])
  if not current or tonumber(current) < tonumber(ARGV[at + 1]) then redis.call('HSET', KEYS[2], ARGV[at], ARGV[at + 1]) end
end
return string.match(redis.call('INFO', 'replication'), 'master_replid:(%x+)') or ''
`);
