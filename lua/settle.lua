--[[
settle: move a reservation to its next state: confirm and count what was delivered, or give back what was taken.

Owns     that a message is settled by the earliest of its deliveries (a group's: for each member), and by a failure only without one
Never    which moves are legal, or what a case costs: the caller passes both

KEYS[1]  record       HASH    gk:{P}:message:<wamid>, or gk:{P}:reservation:<id> before a wamid is known
KEYS[2]  thread       HASH    gk:{P}:thread:<phone_number_id>:<recipient>
KEYS[3]  spend        HASH    gk:{P}:spend:<waba_id>:<day>
KEYS[4…] meters       HASH    gk:{P}:meter:<name>:<owner>:<month>
ARGV[1]  move         msgpack gatekeeper.ledger.shapes:Move, its fields in a row
Returns  msgpack gatekeeper.core.settlement:Settled, its fields in a row
Writes   only when the current state is one of `leaving`, or the message was settled by a later delivery, or is to be settled again
Expires  every key that it writes
]]

local record_key, thread_key, spend_key = KEYS[1], KEYS[2], KEYS[3]
local move = ARGV[1]

local at, id, leaving, to, member, cases, own, conversations, latches, told, sent_at, lifetime, meter_lifetime, spend_lifetime, again = unpack(move)

local field = member ~= '' and 'member:' .. member or 'settled'
local state, quote, spent, held_meter, holds, before =
  spread(redis.call('HMGET', record_key, 'state', 'quote', 'spend', 'meter', 'holds', field))
local delivers, settled = cases ~= '', before and #before > 1 and unpack(before)
local stale, reworded = settled and again == 1 and at == settled[1], settled and again == 2 and at == settled[1]
local moves = state and within(leaving, state)
if settled then
  moves = delivers and (at < settled[1] or stale or reworded)
elseif before then
  moves = delivers and before == '0'  -- of a member whose phone failed, another one delivered
end
local name, clocks, mine, others = record_key:match('^gk:{.-}:%a+:(.*)$'), nil, nil, {}
thread_key, clocks = thread(thread_key)
for _, one in ipairs(moves and delivers and member == '' and deliveries(deliveries_of(thread_key)) or {}) do
  if one.name == name then mine = one else others[#others + 1] = one end
end
if not moves or stale and not (mine and is_stale(mine)) then return '\145' .. pack('ignored') end

-- Open at the time of this delivery. What was used up later was open before; of what was opened anew later, the latch of the send knows,
-- unless it was denied since. A negative latch: what was opened after the send is nothing to it, for it cannot answer that.
local function open(x)
  local since, denied, used = number(clocks, x .. '<'), number(clocks, x .. '!'), number(clocks, x .. '*')
  local latch, one, listed = latches[x] or 0, covering(others, clocks, x, at, conversations[x])
  if one then return one end
  if mine and mine.by == x and mine.at == used then used = 0 end
  if since > at or latch < 0 and since > sent_at then return denied < sent_at and math.abs(latch) > at and (used == 0 or at < used) end
  if mine and mine.opens == x and mine.at == since then return false end
  return clocks[x] and not listed and number(clocks, x) > at and since > denied and (since > used or at < used)
end

local chosen, cost, reading, own_case, own_cost, joined = 0, UNKNOWN, 0, 0, UNKNOWN, {}
local by, meter, opens, length, cell, terms, own_terms, around, _
cases, own = rows(cases), rows(own)
if #cases > 0 then
  local own_before, read_before = mine or settled and {meter = settled[5], reading = settled[6]}, {}
  for i = 4, #KEYS do read_before[i] = former_reading(own_before, others, KEYS[i], at) end
  chosen, terms, by = pick(cases, 1, open)
  cost, reading, _, meter, opens, length, cell = priced(terms, read_before)
  own_case, own_terms = pick(own, 1, open)
  own_cost = own_case > 0 and priced(own_terms, read_before) or cost
  local i = 4 * chosen - 3
  local needs = cases[i]
  around = opens == '' and open(needs) or false
  if around then joined[1] = needs end
  for _, x in ipairs(rows(cases[i + 1])) do
    local found = open(x)
    if found then
      joined[#joined + 1] = x
      around = around or found
    end
  end
end
local was = mine and (stale and mine.opens:sub(2) or mine.opens) or ''

-- Take it all.
if settled then unbook(settled, holds) end
local left = give_back(held_meter, holds, chosen > 0, cost, at)
if chosen == 0 then unanswer(spread(redis.call('HMGET', record_key, 'thread', 'turn'))) end
if spent then  -- on the day that it was sent it is no longer open
  book(spent, 'o', '', quote + 0, '-1')
  if spent ~= spend_key or chosen == 0 then outlive(spent, spend_lifetime) end
end
local counted = ''
if chosen > 0 and meter > 0 then counted = KEYS[meter] end
if lifetime == '0' then
  redis.call('DEL', record_key)
else
  redis.call('HDEL', record_key, 'meter', 'spend', 'turn')
  if holds then redis.call('HSET', record_key, 'holds', pack(left)) end
  if member ~= '' or chosen > 0 then redis.call('HSET', record_key, field, chosen > 0 and pack({at, spend_key, cell, cost, counted, reading, table.concat(joined, ' ')}) or '0') end
  if member == '' then
    redis.call('HSET', record_key, 'state', to)
    redis.call('PEXPIRE', record_key, lifetime)
  end
end
local late = {}
if chosen > 0 then
  book(spend_key, 's', cell, cost, '1')
  outlive(spend_key, spend_lifetime)
  if meter > 0 then
    redis.call('HINCRBY', counted, 'settled', '1')
    outlive(counted, meter_lifetime)
  end
  late = member == '' and open_by({
    thread_key = thread_key, log_key = deliveries_of(thread_key), lifetime = lifetime, name = name, id = id, mine = mine, at = at, again = stale,
    opens = opens, length = length, by = by, unproven = cases[4 * chosen - 1], inside = around, joined = joined, depends = #cases > 4,
    told = told, conversations = conversations, meter = counted, reading = reading, reworded = reworded
  }, clocks, others) or {}
end
for assumed_by, by_id in pairs(clocks) do
  if by_id == id and assumed_by:sub(-1) == '&' then
    local x = assumed_by:sub(1, -2)
    redis.call('HDEL', thread_key, assumed_by, x .. '?')
    if chosen == 0 and lifetime ~= '0' then redis.call('HDEL', thread_key, x .. '=', x .. '@') end
  end
end
local same = (stale or reworded) and cell == settled[3] and cost == settled[4] and table.concat(joined, ' ') == settled[7] and was == opens
return '\152' .. pack(same and 'same' or 'moved', chosen, reading, cost, own_case, own_cost, joined, late)
