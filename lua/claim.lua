--[[
claim: let one of several sends with the same idempotency key be the first, and tell the others what became of it.

Owns     that of any number of repeats exactly one is sent
Never    what an answer says

KEYS[1]  repeats   HASH   gk:{P}:repeat:<phone_number_id>:<digest of caller and key>
ARGV[1]  now       int    Unix milliseconds
ARGV[2]  owner     string the decision that claims it
ARGV[3]  digest    string of the body
ARGV[4]  patience  int    milliseconds after which a first that never answered counts as lost
ARGV[5]  lifetime  int    milliseconds
Returns  list      first | waiting | conflict | unknown and the first's owner, or answered, its owner and its answer
Writes   only when it is the first
Expires  every key that it writes
]]

local repeats_key = KEYS[1]
local now, owner, digest, patience, lifetime = tonumber(ARGV[1]), ARGV[2], ARGV[3], tonumber(ARGV[4]), tonumber(ARGV[5])

local held = fields(repeats_key)
if held.owner then
  if held.digest ~= digest then return {'conflict', held.owner} end
  if held.answer then return {'answered', held.owner, held.answer} end
  if held.lost or tonumber(held.at) + patience < now then return {'unknown', held.owner} end
  return {'waiting', held.owner}
end

-- Take it all.
redis.call('HSET', repeats_key, 'owner', owner, 'digest', digest, 'at', now)
redis.call('PEXPIRE', repeats_key, lifetime)
return {'first', owner}
