--[[
settle: move a reservation to its next state: confirm and count what was delivered, or give back what was taken.

Owns     that a reservation settles once (a group's: once for each member), and that a delivery opens what no earlier one had
Never    which moves are legal, or what a case costs: the caller passes both

KEYS[1]  record       HASH    gk:{P}:message:<wamid>, or gk:{P}:reservation:<id> before a wamid is known
KEYS[2]  thread       HASH    gk:{P}:thread:<phone_number_id>:<recipient>
KEYS[3]  spend        HASH    gk:{P}:spend:<waba_id>:<day>
KEYS[4…] meters       HASH    gk:{P}:meter:<name>:<owner>:<month>
ARGV[1]  at           int     Unix milliseconds of the delivery or failure
ARGV[2]  move         msgpack gatekeeper.ledger.wire:_Move
Returns  msgpack gatekeeper.core.settlement:Settled
Writes   only when the current state is one of move.leaving
Expires  every key that it writes
]]

local record_key, thread_key, spend_key = KEYS[1], KEYS[2], KEYS[3]
local at, move = tonumber(ARGV[1]), unpack(ARGV[2])

local record = fields(record_key)
local legal = false
for _, state in ipairs(move.leaving) do legal = legal or record.state == state end
local member = 'member:' .. move.member
if not legal or (move.member ~= '' and record[member]) then
  return pack({'ignored', 0, 0, UNKNOWN, 0, UNKNOWN, {}})
end

local clocks
thread_key, clocks = thread(thread_key)

-- Heard of after a later delivery that opened the clock, this one comes first in life: the clock then began with it.
local function early(x, length)
  local since = number(clocks, x .. '<')
  return length and confirmed(clocks, x) > 0 and at < since and since < at + length
end

-- Open at the time of this delivery. What was used up later was open before; of what was opened anew later, the latch of the send
-- knows, unless it was denied since.
local function open(x)
  local since, denied, used = number(clocks, x .. '<'), number(clocks, x .. '!'), number(clocks, x .. '*')
  if since <= at then
    if number(clocks, x) > at and since > denied and (since > used or at < used) then return true end
  elseif denied < move.sent_at then
    local latch = move.latches[x]
    if latch and latch > at and (used == 0 or at < used) then return true end
  end
  return early(x, move.lengths[x])
end

local chosen, own, by, reading, cost, own_cost = 0, 0, nil, 0, UNKNOWN, UNKNOWN
local joined = {}
if #move.cases > 0 then
  chosen, by = pick(move.cases, open)
  reading = read(move.cases[chosen], true)
  cost = price(move.cases[chosen], reading)
  for _, x in ipairs(move.cases[chosen].needs) do
    if open(x) then joined[#joined + 1] = x end
  end
  own = pick(move.own, open)
  own_cost = own > 0 and price(move.own[own], (read(move.own[own], true))) or cost
end

-- Take it all.
local function confirm(x, length)
  local told, ends = move.told[x] or number(clocks, x .. '='), at + length
  if told > at or move.told[x] or (told > 0 and told == assumed(clocks, x) and clocks[x .. '&'] == move.id) then ends = told end
  if early(x, length) or ends > confirmed(clocks, x) then
    redis.call('HSET', thread_key, x, ends, x .. '<', at)
    keep(thread_key, math.max(ends - at, 1))
  end
end

if move.member ~= '' then
  redis.call('HSET', record_key, member, 1)
else
  redis.call('HSET', record_key, 'state', move.to)
end
give_back(record_key, record, chosen > 0, cost, at)
if record.spend then  -- on the day that it was sent it is no longer open
  unbook(record.spend, 'o', '', tonumber(record.quote), move.spend_lifetime)
  redis.call('HDEL', record_key, 'spend')
end
if move.lifetime == 0 then
  redis.call('DEL', record_key)
elseif move.member == '' then  -- a group's record waits for its other members
  redis.call('PEXPIRE', record_key, move.lifetime)
end

local case = move.cases[chosen]
if case then
  book(spend_key, 's', case.cell, cost, move.spend_lifetime)
  if case.opens ~= '' then
    confirm(case.opens, case.length)
    -- What made it open is used up by it: an ad is answered once.
    if by and at > number(clocks, by .. '*') then redis.call('HSET', thread_key, by .. '*', at) end
  elseif by and early(by, move.lengths[by]) then
    confirm(by, move.lengths[by])
  end
  if case.meter > 0 then
    redis.call('HINCRBY', KEYS[case.meter], 'settled', 1)
    keep(KEYS[case.meter], move.meter_lifetime)
  end
end
for field, id in pairs(clocks) do
  if id == move.id and field:sub(-1) == '&' then
    local x = field:sub(1, -2)
    redis.call('HDEL', thread_key, field, x .. '?')
    if not case and move.lifetime > 0 then redis.call('HDEL', thread_key, x .. '=', x .. '@') end
  end
end
return pack({'moved', chosen, reading, cost, own, own_cost, joined})
