--[[
learn: keep what Meta said of an account and its templates.

Owns     that each fact is a field of its own, so that none overwrites another, and that the version counts changes only
Never    what a fact says

KEYS[1]  registry  HASH    gk:{P}:templates:<waba_id>
ARGV[1]  learned   msgpack gatekeeper.ledger.wire:_Learned; an empty value forgets the fact
ARGV[2]  lifetime  int     milliseconds
Returns  int       1 when something changed
Writes   only what differs from what is known
Expires  the registry
]]

local registry_key = KEYS[1]
local learned, lifetime = unpack(ARGV[1]), tonumber(ARGV[2])

local new = {}
for field, value in pairs(learned.facts) do
  if (redis.call('HGET', registry_key, field) or '') ~= value then new[field] = value end
end

-- Take it all.
for field, value in pairs(new) do
  if value == '' then
    redis.call('HDEL', registry_key, field)
  else
    redis.call('HSET', registry_key, field, value)
  end
end
local changed = next(new) ~= nil
if changed then redis.call('HINCRBY', registry_key, 'version', 1) end
keep(registry_key, lifetime)
return changed and 1 or 0
