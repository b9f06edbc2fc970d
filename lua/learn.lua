--[[
learn: keep what Meta said of an account and its templates.

Owns     that each fact is a field of its own, so that none overwrites another, and that the version counts changes only
Never    what a fact says

KEYS[1]  registry  HASH    gk:{P}:templates:<waba_id>
ARGV[1]  learned   msgpack gatekeeper.ledger.wire:_Learned; an empty value forgets the fact, an empty version is any
ARGV[2]  lifetime  int     milliseconds
Returns  string    the version from now on, or `stale` when it is not the one that learned.version names
Writes   only what differs from what is known, and nothing when it is stale
Expires  the registry
]]

local registry_key = KEYS[1]
local learned, lifetime = unpack(ARGV[1]), tonumber(ARGV[2])

local version = redis.call('HGET', registry_key, 'version') or '0'
if learned.version ~= '' and learned.version ~= version then return 'stale' end

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
if next(new) then version = tostring(redis.call('HINCRBY', registry_key, 'version', 1)) end
keep(registry_key, lifetime)
return version
