--[[
accept: give a reservation the name that Meta gave its message, and hand over the statuses that came before it.

Owns     that a record has one key at a time: its id's until Meta names it, its wamid's from then on; and is quoted once
Never    what a status says

KEYS[1]  reservation  HASH   gk:{P}:reservation:<id>
KEYS[2]  message      HASH   gk:{P}:message:<wamid>
KEYS[3]  parked       LIST   gk:{P}:parked:<wamid>
KEYS[4]  spend        HASH   gk:{P}:spend:<waba_id>:<day>
ARGV[1]  state        string gatekeeper.core.reservation:State
ARGV[2]  cell         string what of the bill it belongs to (gatekeeper.core.bill:Cell)
ARGV[3]  quote        string micro-units; -1 unknown
ARGV[4]  lifetime     int    milliseconds that the bill is kept
Returns  list         the parked statuses, oldest first; nothing where another send has that name
Writes   only when the reservation is there
Expires  the message keeps the reservation's lifetime
]]

local reservation_key, message_key, parked_key, spend_key = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local state, cell, quote, lifetime = ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[4])

if redis.call('EXISTS', message_key) == 1 then
  if redis.call('EXISTS', reservation_key) == 1 then return false end
  return redis.call('LRANGE', parked_key, '0', '-1')  -- who asks again did not hear the answer
end
if redis.call('EXISTS', reservation_key) == 0 then return {} end

-- Take it all.
redis.call('RENAME', reservation_key, message_key)
book_accepted(message_key, state, spend_key, cell, quote, lifetime)
return redis.call('LRANGE', parked_key, '0', '-1')  -- they stay until they expire: the answer may not arrive
