--[[
expect: let a send that Meta took, or may have, without naming its message wait for a status that names it.

Owns     that such a send has a name at once where its status came before, and else is listed until it gets one or lapses
Never    what a status says, or when a send lapses

KEYS[1]  reservation  HASH   gk:{P}:reservation:<id>
KEYS[2]  thread       HASH   gk:{P}:thread:<phone_number_id>:<recipient>
KEYS[3]  lapsing      ZSET   gk:{P}:lapsing
KEYS[4]  spend        HASH   gk:{P}:spend:<waba_id>:<day>
ARGV[1]  taken        int    1: Meta took it, and it is booked now; 0: nobody knows, and it is booked when a status names it
ARGV[2]  state        string gatekeeper.core.reservation:State, once it is booked
ARGV[3]  cell         string what of the bill it belongs to (gatekeeper.core.bill:Cell)
ARGV[4]  quote        string micro-units; -1 unknown
ARGV[5]  kept         int    milliseconds that the bill is kept
ARGV[6]  since        int    Unix milliseconds: no status of an earlier moment is of it
ARGV[7]  product      string gatekeeper.core.vocabulary:Product
ARGV[8]  ends         int    Unix milliseconds, when it lapses
ARGV[9]  lifetime     int    milliseconds that it is listed
Returns  list         waits, gone, or named and the statuses of its message, oldest first
Writes   only when the reservation is there, and does not wait yet
Expires  every key that it writes
]]

local reservation_key, thread_key, lapsing_key, spend_key = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local taken, state, cell, quote, kept = tonumber(ARGV[1]), ARGV[2], ARGV[3], ARGV[4], tonumber(ARGV[5])
local since, product, ends, lifetime = tonumber(ARGV[6]), ARGV[7], tonumber(ARGV[8]), tonumber(ARGV[9])

local place, id = reservation_key:match('^(gk:{.-}:)reservation:(.*)$')
local there = redis.call('EXISTS', reservation_key) == 1
if there and redis.call('HGET', reservation_key, 'waits') then return {'waits'} end

local leads_key = thread(thread_key)
local strays = fields(beside(leads_key, 'strays'))
if leads_key ~= thread_key then
  for wamid, packed in pairs(fields(beside(thread_key, 'strays'))) do strays[wamid] = packed end
end

local function parked(wamid) return redis.call('LRANGE', place .. 'parked:' .. wamid, '0', '-1') end
local function named(wamid) return redis.call('HGET', place .. 'message:' .. wamid, 'named') == id end
local function free(wamid, at)
  return at >= since and redis.call('EXISTS', place .. 'message:' .. wamid) == 0 and redis.call('EXISTS', place .. 'parked:' .. wamid) == 1
end

if not there then  -- who asks again did not hear the answer
  local wamid = matching(strays, product, named)
  return wamid and {'named', spread(parked(wamid))} or {'gone'}
end
local wamid = matching(strays, product, free)

-- Take it all.
if taken == 1 then
  book_accepted(reservation_key, state, spend_key, cell, quote, kept)
else
  redis.call('HSET', reservation_key, 'later', pack(state, spend_key, cell, quote, kept))
end
if wamid then
  name_send(reservation_key, place .. 'message:' .. wamid)
  return {'named', spread(parked(wamid))}
end
local unnamed_key = beside(leads_key, 'unnamed')
redis.call('HSET', unnamed_key, id, pack(since, product))
keep(unnamed_key, lifetime)
redis.call('HSET', reservation_key, 'waits', unnamed_key, 'lapses', lapsing_key)
redis.call('ZADD', lapsing_key, ends, id)
keep(lapsing_key, lifetime)
return {'waits'}
