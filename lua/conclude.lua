--[[
conclude: say what became of the first send with an idempotency key.

Owns     that only the first speaks for its key
Never    what an answer says

KEYS[1]  repeats   HASH   gk:{P}:repeat:<phone_number_id>:<digest of caller and key>
ARGV[1]  owner     string the decision that claimed it
ARGV[2]  outcome   string answered | lost | free: keep the answer, remember that nobody knows, or let the next one be the first
ARGV[3]  answer    msgpack gatekeeper.server.repeats:Kept, or nothing
Returns  int       1 when it was the first's own
Writes   only for the owner
Expires  as it did when it was claimed
]]

local repeats_key = KEYS[1]
local owner, outcome, answer = ARGV[1], ARGV[2], ARGV[3]

if redis.call('HGET', repeats_key, 'owner') ~= owner then return 0 end

-- Take it all.
if outcome == 'free' then
  redis.call('DEL', repeats_key)
elseif outcome == 'answered' then
  redis.call('HSET', repeats_key, 'answer', answer)
else
  redis.call('HSET', repeats_key, 'lost', 1)
end
return 1
