--[[
take: claim the first text of a list whose recipient has answered, and let go of those that waited in vain.

Owns     that a text has one sender at a time, that none is sent again of which nobody knows whether it was, and their order
Never    what opens a window, or what becomes of a text that is sent

KEYS[1]  waiting   HASH   gk:{P}:waiting:<phone_number_id>:<recipient>
KEYS[2]  holding   ZSET   gk:{P}:holding
KEYS[3]  thread    HASH   gk:{P}:thread:<phone_number_id>:<recipient>
ARGV[1]  now       int    Unix milliseconds
ARGV[2]  owner     string who claims it
ARGV[3]  clock     string the clock that must be open
ARGV[4]  patience  int    milliseconds that a claim lasts
ARGV[5]  look      int    milliseconds after which a list is looked at again whose clock is shut
ARGV[6]  lifetime  int    milliseconds that it is remembered what became of a text
Returns  list      claimed | busy | shut | empty; the list's key from now on; the keys of texts that expired, and of those of which nobody knows; and the claimed one's key, deadline, request and secret
Writes   the list; not while another one sends from it
Expires  as each text and list did when it was written
]]

local waiting_key, holding_key, thread_key = KEYS[1], KEYS[2], KEYS[3]
local now, owner, clock = tonumber(ARGV[1]), ARGV[2], ARGV[3]
local patience, look, lifetime = tonumber(ARGV[4]), tonumber(ARGV[5]), tonumber(ARGV[6])

local clocks
thread_key, clocks = thread(thread_key)

local left, expired, lost, claimed, busy, due = {}, {}, {}, nil, 0, now + look
for _, key in ipairs(listed(fields(waiting_key))) do
  local text = redis.call('HMGET', key, 'state', 'deadline', 'lease')
  local state, deadline, lease = text[1], tonumber(text[2] or 0), tonumber(text[3] or 0)
  local waits = state == 'waiting' or (state == 'claimed' and lease <= now)  -- a claim that ended was never sent
  if waits and deadline <= now then
    expired[#expired + 1] = key
  elseif waits then
    left[#left + 1] = key
    claimed = claimed or key
    due = math.min(due, deadline)
  elseif state == 'sending' and lease <= now then
    lost[#lost + 1] = key
  elseif state == 'claimed' or state == 'sending' then
    left[#left + 1] = key
    busy = lease
  end
end

local status = busy > 0 and 'busy' or #left == 0 and 'empty' or confirmed(clocks, clock) > now and 'claimed' or 'shut'
if status == 'busy' then due = busy end
if status == 'claimed' then due = now + patience end
-- Meta said meanwhile that the name which was dialled leads to another: what it says next may be of that one alone.
local home_key = list_of(thread_key)
local moves = home_key ~= waiting_key and status ~= 'busy' and #left > 0 and redis.call('EXISTS', home_key) == 0
local text = status == 'claimed' and redis.call('HMGET', claimed, 'deadline', 'request', 'secret')

-- Take it all.
for _, key in ipairs(expired) do let_go(key, 'expired', lifetime) end
for _, key in ipairs(lost) do let_go(key, 'unknown', lifetime) end
if moves then
  redis.call('ZREM', holding_key, waiting_key)
  redis.call('RENAME', waiting_key, home_key)
  waiting_key = home_key
end
relist(waiting_key, holding_key, left, due)
if status ~= 'claimed' then return {status, waiting_key, expired, lost} end
redis.call('HSET', claimed, 'state', 'claimed', 'owner', owner, 'lease', now + patience)
return {status, waiting_key, expired, lost, claimed, tonumber(text[1]), text[2], text[3] or ''}
