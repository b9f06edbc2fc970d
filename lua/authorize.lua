--[[
authorize: decide one send and reserve what it takes, or leave no trace.

Owns     that reading, judging and reserving are one step
Never    what a bar, a case or a meter is for: the plan says it

KEYS[1]  thread       HASH   gk:{P}:thread:<phone_number_id>:<recipient>
KEYS[2]  reservation  HASH   gk:{P}:reservation:<id>
KEYS[3]  watch        STRING gk:{P}:watch:<phone_number_id>
KEYS[4]  registry     HASH   gk:{P}:templates:<waba_id>
KEYS[5…] counters     HASH   gk:{P}:meter:<name>:<owner>:<month>, and the keys of guards, see guards.lua
ARGV[1]  now          int     Unix milliseconds
ARGV[2]  plan         msgpack gatekeeper.ledger.shapes:Plan, its fields in a row
ARGV[3]  facts        msgpack gatekeeper.core.reservation:Facts, kept as it is
Returns  msgpack gatekeeper.core.outcome:Outcome, its fields in a row
Writes   only when plan.commit, and no bar holds or plan.enforce is off
Expires  every key that it writes
]]

local thread_key, reservation_key, watch_key, registry_key = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local now, plan, facts = tonumber(ARGV[1]), ARGV[2], ARGV[3]

local id, commit, enforce, registry, watched_since, unseen_closed, unpriced, bars, cases, rules, guards, reserving = unpack(plan)

if registry ~= '' and (redis.call('HGET', registry_key, 'version') or '0') ~= registry then
  return pack('stale', 0, false, false, 0, 0, 0, 0, 0, 0, {}, 0, 0, 0, {}, {})
end

local clocks
thread_key, clocks = thread(thread_key)
local certain, expected, flat = open_clocks(clocks, now)

local cold = false
if watched_since > 0 then
  local watched = tonumber(redis.call('GET', watch_key) or 0)
  cold = watched == 0 or watched > watched_since
end

local unseen, refusal = false, 0
for i, bar in ipairs(rows(bars)) do
  local clock, refuse_open = unpack(bar)
  if (certain[clock] ~= nil) == refuse_open then
    if cold and not unseen_closed and not refuse_open and not clocks[clock .. '!'] then
      unseen = true
    else
      refusal = i
      break
    end
  end
end

local chosen, sure, cost, reading, told, most = 0, 0, UNKNOWN, 0, 0, UNKNOWN
cases = rows(cases)
if (refusal == 0 or not enforce) and #cases > 0 then
  chosen = pick(cases, 1, function(x) return expected[x] end)
  sure = pick(cases, chosen, function(x) return certain[x] end, true)  -- whose clocks are certain, they are expected
  cost, reading, told = priced(cases[chosen])
  most = sure == chosen and cost or priced(cases[sure])
end

local send = {at = now, amount = 0, certain = certain, clocks = clocks, thread_key = thread_key}
local asked = (unpriced or cost == UNKNOWN or most == UNKNOWN) and UNKNOWN or math.max(cost, most)
if cost > 0 then send.amount = math.max(cost, most) end

local matched, stopped = 0, false
for i, rule in ipairs(chosen > 0 and rows(rules) or {}) do
  local window, open, above, among, block, enforced = unpack(rule)
  local met = (window == '' or (certain[window] ~= nil) == open) and (above < 0 or asked == UNKNOWN or asked > above)
  if met and within(among, chosen) then
    matched, stopped = i, block and enforced and enforce
    break
  end
end

local failed, wait, warned, looked, takes = 0, 0, {}, {}, {}
for i, guard in ipairs(chosen > 0 and not stopped and rows(guards) or {}) do
  local kind, enforced, unless, among, terms = unpack(guard)
  if within(among, chosen) and not certain[unless] then
    local fits, later, found, take = kinds[kind](send, unpack(terms))
    looked[#looked + 1] = {i, found}
    takes[#takes + 1] = take
    if not fits and enforced and enforce then failed, wait = i, later break end
    if not fits then warned[#warned + 1] = i end
  end
end

local refused = (refusal > 0 and enforce) or stopped or failed > 0
local status = refused and 'refused' or commit and 'reserved' or 'picked'
local answer = pack(status, refusal, unseen, cold, chosen, reading, told, cost, sure, most, flat, matched, failed, wait, warned, looked)
if status ~= 'reserved' then return answer end

-- Take it all.
local state, latches, lifetime, meter_lifetime = unpack(reserving)
local _, _, _, meter, opens, length = unpack(cases[chosen] or '')
send.record = {'state', state, 'facts', facts, 'thread', thread_key, 'quote', cost}
for _, x in ipairs(rows(latches)) do
  if certain[x] then remember(send, 'latch:' .. x, clocks[x]) end
end
local holds = {}
for _, take in ipairs(takes) do holds[#holds + 1] = take() end
if #holds > 0 then remember(send, 'holds', pack(holds)) end
if meter and meter > 0 then remember(send, 'meter', KEYS[meter]) end
redis.call('HSET', reservation_key, spread(send.record))
redis.call('PEXPIRE', reservation_key, lifetime)
if opens and opens ~= '' then
  redis.call('HSET', thread_key, opens .. '?', now + length, opens .. '&', id)
  keep(thread_key, length)
end
if meter and meter > 0 then
  redis.call('HINCRBY', KEYS[meter], 'reserved', '1')
  keep(KEYS[meter], meter_lifetime)
end
return answer
