import { Script } from "./client.ts";

/** Of a lane: state, settlements, letters, received, kinds, counts, amendments, forgotten. */
export const LANE_KEYS = 8;

/** Dead letters of the lane whose keys begin at `base`. A letter's text begins with its kind and a line's end. */
export const LETTERS = `
local function padded(sequence) return string.rep('0', 15 - #sequence) .. sequence end
local function removed(base, sequence)
  local blob = redis.call('ZRANGEBYSCORE', KEYS[base + 2], sequence, sequence)[1]
  if not blob then return false end
  local kind = string.sub(blob, 1, string.find(blob, '\\n', 1, true) - 1)
  redis.call('ZREM', KEYS[base + 2], blob)
  redis.call('ZREM', KEYS[base + 3], padded(sequence))
  redis.call('ZREM', KEYS[base + 4], kind .. '\\n' .. padded(sequence))
  if redis.call('HINCRBY', KEYS[base + 5], kind .. '\\nn', -1) <= 0 then
    redis.call('HDEL', KEYS[base + 5], kind .. '\\nn', kind .. '\\nfirst', kind .. '\\nlast', kind .. '\\ninfo')
  end
  return true
end
local function put(base, at)
  local sequence, received, died, info, blob = ARGV[at], ARGV[at + 1], ARGV[at + 2], ARGV[at + 3], ARGV[at + 4]
  local kind = string.sub(blob, 1, string.find(blob, '\\n', 1, true) - 1)
  redis.call('HINCRBY', KEYS[base + 5], kind .. '\\nn', 1)
  local first = redis.call('HGET', KEYS[base + 5], kind .. '\\nfirst')
  if not first or tonumber(died) < tonumber(first) then redis.call('HSET', KEYS[base + 5], kind .. '\\nfirst', died) end
  local last = redis.call('HGET', KEYS[base + 5], kind .. '\\nlast')
  if not last or tonumber(died) > tonumber(last) then redis.call('HSET', KEYS[base + 5], kind .. '\\nlast', died) end
  redis.call('HSET', KEYS[base + 5], kind .. '\\ninfo', info)
  -- Counted before the one that it takes the place of is not: since when a kind fails stays.
  removed(base, sequence)
  redis.call('ZADD', KEYS[base + 2], sequence, blob)
  redis.call('ZADD', KEYS[base + 3], received, padded(sequence))
  redis.call('ZADD', KEYS[base + 4], 0, kind .. '\\n' .. padded(sequence))
end
local function amended(base, sequence, counter, record)
  if redis.call('EXISTS', KEYS[base]) == 0 or not removed(base, sequence) then return false end
  redis.call('HINCRBY', KEYS[base], 'dead', -1)
  redis.call('HINCRBY', KEYS[base], counter, 1)
  redis.call('ZREMRANGEBYSCORE', KEYS[base + 6], sequence, sequence)
  redis.call('ZADD', KEYS[base + 6], sequence, record)
  return true
end
`;

/**
 * One commit. KEYS: shard's id, fences; the lane; other lanes; erased events of the lane's
 * stream. ARGV: log id, slot, epoch, lane key, from, to,
 * settlement, history (empty: not compared), counters; of each counter: name, events; letters; of each letter: sequence, received, died, info,
 * text; redriven; of each: lane (1 is the first of the others), sequence, counter, record, or with the counter
 * `letter` what a letter has.
 */
export const COMMIT = new Script(`${LETTERS}
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return redis.error_reply('PGLOST ' .. KEYS[1] .. ' is gone') end
local name = ARGV[4]
if redis.call('HGET', KEYS[2], ARGV[2]) ~= ARGV[3] then
  return redis.error_reply('PGFENCED lane ' .. name .. ': the claim on slot ' .. ARGV[2] .. ' with epoch ' .. ARGV[3] .. ' is not the newest')
end
if ARGV[8] ~= '' and not string.find(redis.call('INFO', 'replication'), 'master_replid:' .. ARGV[8], 1, true) then
  return redis.error_reply('PGHISTORY lane ' .. name .. ': another server has taken over since slot ' .. ARGV[2] .. ' was claimed, and may lack what was read before')
end
local cursor = redis.call('HGET', KEYS[3], 'cursor')
if cursor ~= ARGV[5] then
  return redis.error_reply('PGFENCED lane ' .. name .. ': the settlement does not start at the cursor: ' .. ARGV[5] .. ', ' .. tostring(cursor))
end
redis.call('HSET', KEYS[3], 'cursor', ARGV[6])
if ARGV[6] ~= ARGV[5] then redis.call('XADD', KEYS[4], ARGV[6] .. '-0', 's', ARGV[7]) end
local at = 10
for i = 1, tonumber(ARGV[9]) do
  redis.call('HINCRBY', KEYS[3], ARGV[at], ARGV[at + 1])
  at = at + 2
end
local letters = tonumber(ARGV[at])
at = at + 1
for i = 1, letters do
  put(3, at)
  local gone = redis.call('ZRANGEBYSCORE', KEYS[#KEYS], ARGV[at], ARGV[at])[1]
  if gone and not string.find(gone, '^%d+ 0 ') then
    local record = '{"sequence":' .. ARGV[at] .. ',"outcome":{"type":"erased"},"at":' .. string.match(gone, '^%d+ (%d+)') .. '}'
    amended(3, ARGV[at], 'erased', record)
  end
  at = at + 5
end
local redriven = tonumber(ARGV[at])
at = at + 1
for i = 1, redriven do
  local base = 3 + ${LANE_KEYS} * tonumber(ARGV[at])
  if ARGV[at + 2] == 'letter' then
    if redis.call('ZCOUNT', KEYS[base + 2], ARGV[at + 1], ARGV[at + 1]) > 0 then put(base, at + 3) end
    at = at + 8
  else
    amended(base, ARGV[at + 1], ARGV[at + 2], ARGV[at + 3])
    at = at + 4
  end
end
return 'OK'
`);

/** KEYS: shard's id, then lanes. ARGV: log id; of each letter: lane, sequence, counter, record. How many were there. */
export const DISCARD = new Script(`${LETTERS}
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return redis.error_reply('PGLOST ' .. KEYS[1] .. ' is gone') end
local gone = 0
for at = 2, #ARGV, 4 do
  if amended(2 + ${LANE_KEYS} * tonumber(ARGV[at]), ARGV[at + 1], ARGV[at + 2], ARGV[at + 3]) then gone = gone + 1 end
end
return gone
`);

/** KEYS: shard's id, streams, then the lane. ARGV: log id, stream key, before, reason, now. How many events were passed over. */
export const PASS_OVER = new Script(`
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return redis.error_reply('PGLOST ' .. KEYS[1] .. ' is gone') end
local stop = tonumber(string.match(redis.call('HGET', KEYS[2], ARGV[2]) or '0 0 0', '^%d+'))
local cursor = tonumber(redis.call('HGET', KEYS[3], 'cursor') or '-1')
local before = math.min(tonumber(ARGV[3]), stop)
if cursor < 0 or cursor >= before then return 0 end
local from, to = string.format('%.0f', cursor), string.format('%.0f', before)
redis.call('HSET', KEYS[3], 'cursor', to)
redis.call('HINCRBY', KEYS[3], 'f:' .. ARGV[4], string.format('%.0f', before - cursor))
redis.call('XADD', KEYS[4], to .. '-0', 's', '{"from":' .. from .. ',"to":' .. to .. ',"exceptions":[{"from":' .. from .. ',"to":' .. to .. ',"outcome":"filtered","reason":' .. cjson.encode(ARGV[4]) .. '}],"configRevision":0,"settledAt":' .. ARGV[5] .. '}')
return before - cursor
`);

/** KEYS: shard's id, lanes, streams, the lane's state. ARGV: log id, lane key, lane, start, stream key. Its state. */
export const OPEN_LANE = new Script(`
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return redis.error_reply('PGLOST ' .. KEYS[1] .. ' is gone') end
if redis.call('HEXISTS', KEYS[2], ARGV[2]) == 1 then
  local known = redis.call('HGETALL', KEYS[4])
  if #known == 0 then return redis.error_reply('PGLOST ' .. KEYS[4] .. ' is gone') end
  return known
end
local start = ARGV[4]
if start == 'tail' or start == 'start' then
  local meta = redis.call('HGET', KEYS[3], ARGV[5]) or '0 0 0'
  local stop, first = string.match(meta, '^(%d+) (%d+)')
  if start == 'tail' then start = stop else start = first end
end
redis.call('HSET', KEYS[2], ARGV[2], ARGV[3])
redis.call('HSET', KEYS[4], 'start', start, 'cursor', start, 'delivered', 0, 'dead', 0, 'erased', 0)
return redis.call('HGETALL', KEYS[4])
`);

/** KEYS: shard's id, lanes, the lane's state. ARGV: log id, lane key. Its state, or nothing when it is not there. */
export const LOAD_LANE = new Script(`
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return redis.error_reply('PGLOST ' .. KEYS[1] .. ' is gone') end
local known = redis.call('HGETALL', KEYS[3])
if #known == 0 and redis.call('HEXISTS', KEYS[2], ARGV[2]) == 1 then return redis.error_reply('PGLOST ' .. KEYS[3] .. ' is gone') end
return known
`);

/** KEYS: the lane. All that a recount needs but the settlements, as of one moment. */
export const SNAPSHOT = new Script(`
return { redis.call('HGETALL', KEYS[1]), redis.call('HGETALL', KEYS[8]), redis.call('ZRANGE', KEYS[7], 0, -1), redis.call('ZCARD', KEYS[3]) }
`);

/**
 * Keeps settlements up to a sequence as a sum, some at a time. KEYS: the lane. ARGV: before, settlements at once.
 * How many there were.
 */
export const FORGET = new Script(`
local found = redis.call('XRANGE', KEYS[2], '-', ARGV[1] .. '-0', 'COUNT', ARGV[2])
local function add(counter, events) redis.call('HINCRBY', KEYS[8], counter, string.format('%.0f', events)) end
local bound = tonumber(redis.call('HGET', KEYS[8], 'cursor') or '0')
for i = 1, #found do
  local s = cjson.decode(found[i][2][2])
  local delivered = s.to - s.from
  for j = 1, #s.exceptions do
    local x = s.exceptions[j]
    local events = x.to - x.from
    delivered = delivered - events
    if x.outcome == 'filtered' then add('f:' .. x.reason, events) else add(x.outcome, events) end
  end
  add('delivered', delivered)
  bound = s.to
end
if #found > 0 then
  redis.call('XTRIM', KEYS[2], 'MINID', '=', string.format('%.0f', bound + 1) .. '-0')
  redis.call('HSET', KEYS[8], 'cursor', string.format('%.0f', bound))
end
local changed = redis.call('ZRANGEBYSCORE', KEYS[7], '-inf', '(' .. string.format('%.0f', bound), 'LIMIT', 0, ARGV[2])
for i = 1, #changed do
  local a = cjson.decode(changed[i])
  add('dead', -1)
  if a.outcome.type == 'filtered' then add('f:' .. a.outcome.reason, 1) else add(a.outcome.type, 1) end
  redis.call('ZREM', KEYS[7], changed[i])
end
return #found + #changed
`);
