--[[
settle: move a reservation to its next state: confirm and count what was delivered, or give back what was taken.

Owns     that a reservation settles once (a group's: once for each member), and that a delivery opens what no earlier one had
Never    which moves are legal, or what a case costs: the caller passes both

KEYS[1]  record       HASH    gk:{P}:message:<wamid>, or gk:{P}:reservation:<id> before a wamid is known
KEYS[2]  thread       HASH    gk:{P}:thread:<phone_number_id>:<recipient>
KEYS[3]  spend        HASH    gk:{P}:spend:<waba_id>:<day>
KEYS[4…] meters       HASH    gk:{P}:meter:<name>:<owner>:<month>
ARGV[1]  move         msgpack gatekeeper.ledger.shapes:Move, its fields in a row
Returns  msgpack gatekeeper.core.settlement:Settled, its fields in a row
Writes   only when the current state is one of `leaving`
Expires  every key that it writes
]]

local record_key, thread_key, spend_key = KEYS[1], KEYS[2], KEYS[3]
local move = ARGV[1]

local at, id, leaving, to, member, cases, own, lengths, latches, told, sent_at, lifetime, meter_lifetime, spend_lifetime = unpack(move)

local state, quote, spent, held_meter, holds = spread(redis.call('HMGET', record_key, 'state', 'quote', 'spend', 'meter', 'holds'))
local member_field = member ~= '' and 'member:' .. member
local heard = member_field and redis.call('HGET', record_key, member_field)
if not state or not within(leaving, state) or heard then
  return '\145' .. pack('ignored')
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
  if not clocks[x] then return false end
  local since, denied, used = number(clocks, x .. '<'), number(clocks, x .. '!'), number(clocks, x .. '*')
  if since <= at then
    if number(clocks, x) > at and since > denied and (since > used or at < used) then return true end
  elseif denied < sent_at then
    local latch = latches[x]
    if latch and latch > at and (used == 0 or at < used) then return true end
  end
  return early(x, lengths[x])
end

local chosen, cost, reading, own_case, own_cost, joined = 0, UNKNOWN, 0, 0, UNKNOWN, {}
local by, meter, opens, length, cell, terms, own_terms, _
cases, own = rows(cases), rows(own)
if #cases > 0 then
  local settled = {}
  chosen, terms, by = pick(cases, 1, open)
  cost, reading, _, meter, opens, length, cell = priced(terms, settled)
  own_case, own_terms = pick(own, 1, open)
  own_cost = own_case > 0 and priced(own_terms, settled) or cost
  local i = 4 * chosen - 3
  local needs, others = cases[i], cases[i + 1]
  if open(needs) then joined[1] = needs end
  for _, x in ipairs(rows(others)) do
    if open(x) then joined[#joined + 1] = x end
  end
end

-- Take it all.
local function confirm(x, span)
  local said = told[x] or number(clocks, x .. '=')
  local ends = at + span
  if said > at or told[x] or (said > 0 and said == assumed(clocks, x) and clocks[x .. '&'] == id) then ends = said end
  if early(x, span) or ends > confirmed(clocks, x) then
    redis.call('HSET', thread_key, x, ends, x .. '<', at)
    keep(thread_key, math.max(ends - at, 1))
  end
end

local left = give_back(held_meter, holds, chosen > 0, cost, at)
if chosen == 0 then unanswer(spread(redis.call('HMGET', record_key, 'thread', 'turn'))) end
if spent then  -- on the day that it was sent it is no longer open
  book(spent, 'o', '', quote + 0, '-1')
  if spent ~= spend_key or chosen == 0 then outlive(spent, spend_lifetime) end
end
if lifetime == '0' then
  redis.call('DEL', record_key)
elseif member == '' then
  redis.call('HSET', record_key, 'state', to)
  redis.call('HDEL', record_key, 'meter', 'spend', 'holds', 'turn')
  redis.call('PEXPIRE', record_key, lifetime)
else  -- a group's record waits for its other members
  redis.call('HSET', record_key, member_field, '1')
  if holds then redis.call('HSET', record_key, 'holds', pack(left)) end
  redis.call('HDEL', record_key, 'meter', 'spend', 'turn')
end

if chosen > 0 then
  book(spend_key, 's', cell, cost, '1')
  outlive(spend_key, spend_lifetime)
  if opens ~= '' then
    confirm(opens, length)
    -- What made it open is used up by it: an ad is answered once.
    if by and at > number(clocks, by .. '*') then redis.call('HSET', thread_key, by .. '*', at) end
  elseif by and early(by, lengths[by]) then
    confirm(by, lengths[by])
  end
  if meter > 0 then
    redis.call('HINCRBY', KEYS[meter], 'settled', '1')
    outlive(KEYS[meter], meter_lifetime)
  end
end
for field, by_id in pairs(clocks) do
  if by_id == id and field:sub(-1) == '&' then
    local x = field:sub(1, -2)
    redis.call('HDEL', thread_key, field, x .. '?')
    if chosen == 0 and lifetime ~= '0' then redis.call('HDEL', thread_key, x .. '=', x .. '@') end
  end
end
return '\151' .. pack('moved', chosen, reading, cost, own_case, own_cost, joined)
