--[[
queue: let a text wait for its recipient, behind the one that asks the recipient to answer.

Owns     that one of any number of texts asks, that none waits where nobody asked, and that a list is no longer than it may be
Never    what a text says, how the recipient is asked, or what opens a window

KEYS[1]  waiting  HASH    gk:{P}:waiting:<phone_number_id>:<recipient>
KEYS[2]  holding  ZSET    gk:{P}:holding
KEYS[3]  thread   HASH    gk:{P}:thread:<phone_number_id>:<recipient>
KEYS[4]  text     HASH    gk:{P}:text:<id>
ARGV[1]  now      int     Unix milliseconds
ARGV[2]  step     string  look | ask | asked | gave_up: what would be; join or be the one that asks; the recipient was asked, or was not
ARGV[3]  entry    msgpack gatekeeper.core.holding:Entry
ARGV[4]  request  msgpack gatekeeper.engine.holding:Request, kept as it is
ARGV[5]  secret   msgpack gatekeeper.engine.holding:Right, kept as it is unless its digest is known
Returns  list     joined | first | busy | full, and what Meta calls the recipient
Writes   nothing for a look, while another one asks, or when the list is full
Expires  every key that it writes
]]

local waiting_key, holding_key, thread_key, text_key = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local now, step, entry = tonumber(ARGV[1]), ARGV[2], unpack(ARGV[3])
local request, secret = ARGV[4], ARGV[5]

local clocks
thread_key, clocks = thread(thread_key)
if redis.call('EXISTS', waiting_key) == 0 then waiting_key = list_of(thread_key) end  -- under the name that was dialled, or the exact one

local list = fields(waiting_key)
local texts, alive = listed(list), 0
for _, key in ipairs(texts) do
  local text = redis.call('HMGET', key, 'state', 'deadline')
  if text[1] and (text[1] ~= 'waiting' or tonumber(text[2]) > now) then alive = alive + 1 end
end

local asks = list.asking and tonumber(list.lease) > now
local answer = 'first'
if step == 'asked' then
  answer = 'joined'
elseif alive > 0 then
  answer = alive < entry.most and 'joined' or 'full'
elseif asks and list.asking ~= entry.owner then
  answer = 'busy'
end
local there = step == 'asked' and redis.call('EXISTS', text_key) == 1
if step == 'look' or answer == 'full' or answer == 'busy' or there then return {answer, list.named or ''} end
if step == 'gave_up' and list.asking ~= entry.owner then return {answer, ''} end

local named = step == 'asked' and entry.named or list.named or ''
local proof = step == 'asked' and entry.proof or list.proof or ''

-- Take it all.
if step == 'gave_up' then
  redis.call('HDEL', waiting_key, 'asking', 'lease')
  return {answer, ''}
end
if answer == 'first' then
  redis.call('HSET', waiting_key, 'asking', entry.owner, 'lease', now + entry.patience)
  keep(waiting_key, entry.patience)
  return {answer, ''}
end
if list.asking == entry.owner then redis.call('HDEL', waiting_key, 'asking', 'lease') end
local lifetime = entry.deadline - now + entry.lifetime
redis.call('HSET', text_key, 'state', 'waiting', 'deadline', entry.deadline, 'request', request)
if entry.proof == '' or entry.proof ~= proof then redis.call('HSET', text_key, 'secret', secret) end
redis.call('PEXPIRE', text_key, lifetime)
redis.call('HSET', waiting_key, 'named', named, 'proof', proof)
local due = confirmed(clocks, entry.clock) > now and now or math.min(entry.deadline, now + entry.look)
texts[#texts + 1] = text_key
relist(waiting_key, holding_key, texts, math.min(due, tonumber(redis.call('ZSCORE', holding_key, waiting_key) or due)))
keep(waiting_key, lifetime)
keep(holding_key, lifetime)
return {answer, named}
