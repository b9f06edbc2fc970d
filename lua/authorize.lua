--[[
authorize: decide one send and reserve what it takes, or leave no trace.

Owns     that reading, judging and reserving are one step
Never    what a bar, a case or a meter is for: the plan says it

KEYS[1]  thread       HASH   gk:{P}:thread:<phone_number_id>:<recipient>
KEYS[2]  reservation  HASH   gk:{P}:reservation:<id>
KEYS[3]  watch        STRING gk:{P}:watch:<phone_number_id>
KEYS[4]  registry     HASH   gk:{P}:templates:<waba_id>
KEYS[5…] counters     HASH   gk:{P}:meter:<name>:<owner>:<month>, and the keys of guards, see guards.lua
ARGV[1]  plan         msgpack gatekeeper.ledger.shapes:Plan, its fields in a row
ARGV[2]  facts        msgpack gatekeeper.core.reservation:Facts, kept as it is
Returns  msgpack gatekeeper.core.outcome:Outcome, its fields in a row
Writes   only when plan.commit, and no bar holds or plan.enforce is off
Expires  every key that it writes
]]

local thread_key, reservation_key, watch_key, registry_key = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local plan, facts = ARGV[1], ARGV[2]

local now, commit, enforce, registry, watched_since, unseen_closed, unpriced, bars, cases, rules, guards, state, latches, lifetime,
  meter_lifetime = unpack(plan)

if registry ~= '' and (redis.call('HGET', registry_key, 'version') or '0') ~= registry then
  return '\145' .. pack('stale')
end

local clocks
thread_key, clocks = thread(thread_key)
local certain, expected, flat = open_clocks(clocks, now)

local cold = false
if watched_since > 0 then
  local watched = (redis.call('GET', watch_key) or 0) + 0
  cold = watched == 0 or watched > watched_since
end

local unseen, refusal = false, 0
bars = rows(bars)
for i = 1, #bars, 2 do
  local clock, refuse_open = bars[i], bars[i + 1]
  if (certain[clock] ~= nil) == refuse_open then
    if cold and not unseen_closed and not refuse_open and not clocks[clock .. '!'] then
      unseen = true
    else
      refusal = (i + 1) / 2
      break
    end
  end
end

local chosen, sure, cost, most, reading, told, meter, opens, length = 0, 0, UNKNOWN, UNKNOWN, 0, 0, 0, '', 0
cases = (refusal == 0 or not enforce) and rows(cases) or {}
if #cases > 0 then
  local terms, sure_terms
  chosen, terms = pick(cases, 1, function(x) return expected[x] end)
  sure, sure_terms = pick(cases, chosen, function(x) return certain[x] end, true)  -- whose clocks are certain, they are expected
  cost, reading, told, meter, opens, length = priced(terms)
  most = sure == chosen and cost or priced(sure_terms)
end
local dearest = cost > most and cost or most
local asked = (unpriced or cost == UNKNOWN or most == UNKNOWN) and UNKNOWN or dearest

local matched, stopped = 0, false
if chosen > 0 and rules ~= '' then
  for i, rule in ipairs(rows(rules)) do
    local window, open, above, among, block, enforced = unpack(rule)
    local met = (window == '' or (certain[window] ~= nil) == open) and (above < 0 or asked == UNKNOWN or asked > above)
    if met and within(among, chosen) then
      matched, stopped = i, block and enforced and enforce
      break
    end
  end
end

local failed, wait, warned, looked, takes = 0, 0, {}, {}, {}
if chosen > 0 and not stopped and guards ~= '' then
  local send = {at = now, amount = cost > 0 and dearest or 0, certain = certain, clocks = clocks, thread_key = thread_key}
  local kinds = kinds_of_guards()
  for i, guard in ipairs(rows(guards)) do
    local kind, enforced, unless, among, terms = unpack(guard)
    if within(among, chosen) and not certain[unless] then
      local fits, later, found, take = kinds[kind](send, unpack(terms))
      looked[#looked + 1] = {i, found}
      takes[#takes + 1] = take
      if not fits and enforced and enforce then failed, wait = i, later break end
      if not fits then warned[#warned + 1] = i end
    end
  end
end

local refused = (refusal > 0 and enforce) or stopped or failed > 0
local status = refused and 'refused' or commit and 'reserved' or 'picked'
-- An array as msgpack begins it, with how many there are: what is nothing is left away.
local answer = '\154' .. pack(status, cold, chosen, reading, told, cost, sure, most, flat, looked)
if refusal > 0 or unseen or matched > 0 or failed > 0 or #warned > 0 then
  answer = '\220\0\16' .. answer:sub(2) .. pack(refusal, unseen, matched, failed, wait, warned)
end
if status ~= 'reserved' then return answer end

-- Take it all.
local record, holds = {'state', state, 'facts', facts, 'thread', thread_key}, {}
for _, x in ipairs(rows(latches)) do
  if certain[x] then remember(record, 'latch:' .. x, clocks[x]) end
end
for i = 1, #takes do holds[#holds + 1] = takes[i](record) end
if #holds > 0 then remember(record, 'holds', pack(holds)) end
if meter > 0 then remember(record, 'meter', KEYS[meter]) end
redis.call('HSET', reservation_key, spread(record))
redis.call('PEXPIRE', reservation_key, lifetime)
if opens ~= '' then
  redis.call('HSET', thread_key, opens .. '?', now + length, opens .. '&', reservation_key:match('^gk:{.-}:reservation:(.*)$'))
  keep(thread_key, length)
end
if meter > 0 then
  redis.call('HINCRBY', KEYS[meter], 'reserved', '1')
  outlive(KEYS[meter], meter_lifetime)
end
return answer
