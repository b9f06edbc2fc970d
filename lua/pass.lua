--[[
pass: move a text on that was claimed, or put it back.

Owns     that only who claimed a text speaks for it
Never    which moves are legal: the caller passes the states that it may leave

KEYS[1]  text     HASH    gk:{P}:text:<id>
KEYS[2]  waiting  HASH    gk:{P}:waiting:<phone_number_id>:<recipient>
KEYS[3]  holding  ZSET    gk:{P}:holding
ARGV[1]  now      int     Unix milliseconds
ARGV[2]  onward   msgpack gatekeeper.ledger.wire:_Onward
Returns  int      1 when it was the claimant's, and in one of those states
Writes   only then
Expires  what became of a text, a while later
]]

local text_key, waiting_key, holding_key = KEYS[1], KEYS[2], KEYS[3]
local now, onward = tonumber(ARGV[1]), unpack(ARGV[2])

local text = redis.call('HMGET', text_key, 'state', 'owner')
if text[2] ~= onward.owner or not within(onward.leaving, text[1]) then return 0 end

local left = {}
for _, key in ipairs(listed(fields(waiting_key))) do
  if not onward.ends or key ~= text_key then left[#left + 1] = key end
end

-- Take it all.
for field, value in pairs(onward.told) do redis.call('HSET', text_key, field, value) end
if onward.ends then
  let_go(text_key, onward.to, onward.lifetime)
else
  redis.call('HSET', text_key, 'state', onward.to, 'lease', now + onward.lease)
end
relist(waiting_key, holding_key, left, now + onward.due)
return 1
