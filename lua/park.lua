--[[
park: keep a status whose message nobody knows yet; it may have overtaken the answer to its own send.

Owns     that a status is either parked or its message is known, never neither
Never    what a status says

KEYS[1]  message   HASH   gk:{P}:message:<wamid>
KEYS[2]  parked    LIST   gk:{P}:parked:<wamid>
ARGV[1]  status    msgpack gatekeeper.meta.webhooks:Status
ARGV[2]  lifetime  int    milliseconds
Returns  int       1 when the message is known by now, else 0
Writes   only when it is not
Expires  every key that it writes
]]

local message_key, parked_key = KEYS[1], KEYS[2]
local status, lifetime = ARGV[1], tonumber(ARGV[2])

if redis.call('EXISTS', message_key) == 1 then return 1 end

-- Take it all.
redis.call('RPUSH', parked_key, status)
redis.call('PEXPIRE', parked_key, lifetime)
return 0
