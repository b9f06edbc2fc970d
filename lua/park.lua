--[[
park: keep a status whose message nobody knows yet, unless it names the message of a send that waits for a name.

Owns     that a status is either parked or its message is known, never neither
Never    what a status says

KEYS[1]  message   HASH   gk:{P}:message:<wamid>
KEYS[2]  parked    LIST   gk:{P}:parked:<wamid>
KEYS[3…] threads   HASH   gk:{P}:thread:<phone_number_id>:<recipient>
ARGV[1]  status    msgpack gatekeeper.meta.webhooks:Status
ARGV[2]  lifetime  int    milliseconds
ARGV[3]  at        int    Unix milliseconds, of the status
ARGV[4]  category  string what Meta bills the message as; empty: it does not say
Returns  int       1 when the message is known by now, else 0; or, a list, the statuses parked before of a message that it named
Writes   only when it is not known
Expires  every key that it writes
]]

local message_key, parked_key = KEYS[1], KEYS[2]
local status, lifetime, at, category = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3]), ARGV[4]

if redis.call('EXISTS', message_key) == 1 then return 1 end

local place, wamid = message_key:match('^(gk:{.-}:)message:(.*)$')
local waiting, strays_key = {}, nil
for i = 3, #KEYS do
  local leads_key = thread(KEYS[i])
  strays_key = strays_key or beside(leads_key, 'strays')
  for _, key in ipairs(leads_key == KEYS[i] and {leads_key} or {leads_key, KEYS[i]}) do
    for id, packed in pairs(fields(beside(key, 'unnamed'))) do waiting[id] = packed end
  end
end
local id = matching(waiting, category, function(id, since)
  return since <= at and redis.call('EXISTS', place .. 'reservation:' .. id) == 1
end)

-- Take it all.
if id then
  name_send(place .. 'reservation:' .. id, message_key)
  return redis.call('LRANGE', parked_key, '0', '-1')
end
redis.call('RPUSH', parked_key, status)
redis.call('PEXPIRE', parked_key, lifetime)
if strays_key then
  local before = redis.call('HGET', strays_key, wamid)
  if before then
    local earlier, known = unpack(before)
    at, category = math.min(at, earlier), category ~= '' and category or known
  end
  redis.call('HSET', strays_key, wamid, pack(at, category))
  keep(strays_key, lifetime)
end
return 0
