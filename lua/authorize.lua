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
ARGV[2]  plan         msgpack gatekeeper.ledger.wire:_Plan
ARGV[3]  facts        msgpack gatekeeper.core.reservation:Facts, kept as it is
Returns  msgpack gatekeeper.core.outcome:Outcome
Writes   only when plan.commit, and no bar holds or plan.enforce is off
Expires  every key that it writes
]]

local thread_key, reservation_key, watch_key, registry_key = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local now, plan, facts = tonumber(ARGV[1]), unpack(ARGV[2]), ARGV[3]

if plan.registry ~= '' and (redis.call('HGET', registry_key, 'version') or '0') ~= plan.registry then
  return pack({'stale', 0, false, false, 0, 0, 0, 0, 0, 0, {}, 0, 0, 0, {}, {}})
end

local clocks
thread_key, clocks = thread(thread_key)

local watched = tonumber(redis.call('GET', watch_key) or 0)
local cold = plan.watched_since > 0 and (watched == 0 or watched > plan.watched_since)

local unseen, refusal = false, 0
for i, bar in ipairs(plan.bars) do
  if (confirmed(clocks, bar.clock) > now) == bar.refuse_open then
    if cold and not plan.unseen_closed and not bar.refuse_open and not clocks[bar.clock .. '!'] then
      unseen = true
    else
      refusal = i
      break
    end
  end
end

local function expected(x) return confirmed(clocks, x) > now or assumed(clocks, x) > now end
local function certain(x) return confirmed(clocks, x) > now end

local open, flat = {}, {}
for field in pairs(clocks) do
  local x = field:match('^[%w:_]+')
  if x and x ~= 'link' and not open[x] and expected(x) then
    open[x] = true
    flat[#flat + 1] = x
    flat[#flat + 1] = math.max(confirmed(clocks, x), assumed(clocks, x))
  end
end

local chosen, sure, reading, told, cost, most = 0, 0, 0, 0, UNKNOWN, UNKNOWN
if (refusal == 0 or not plan.enforce) and #plan.cases > 0 then
  chosen, sure = pick(plan.cases, expected), pick(plan.cases, certain, true)
  reading, told = read(plan.cases[chosen])
  cost = price(plan.cases[chosen], reading)
  most = sure == chosen and cost or price(plan.cases[sure], (read(plan.cases[sure])))
end

local send = {at = now, name = name_of(thread_key), amount = 0, certain = certain, clocks = clocks, thread_key = thread_key}
send.record = {'state', plan.state, 'facts', facts, 'thread', thread_key, 'quote', cost}
local asked = (plan.unpriced or cost == UNKNOWN or most == UNKNOWN) and UNKNOWN or math.max(cost, most)
if cost > 0 then send.amount = math.max(cost, most) end

local function matches(rule)
  if rule.window ~= '' and certain(rule.window) ~= rule.open then return false end
  if rule.above >= 0 and asked ~= UNKNOWN and asked <= rule.above then return false end
  return within(rule.cases, chosen)
end

local matched, failed, wait, warned, held, looked = 0, 0, 0, {}, {}, {}
if chosen > 0 then
  for i, rule in ipairs(plan.rules) do
    if matches(rule) then matched = i break end
  end
end
local stopped = matched > 0 and plan.rules[matched].block and plan.rules[matched].enforce and plan.enforce
if chosen > 0 and not stopped then
  for i, guard in ipairs(plan.guards) do
    if within(guard.cases, chosen) and not (guard.unless ~= '' and certain(guard.unless)) then
      held[#held + 1] = guard
      local fit, later, reading_there = fits[guard.kind](guard, send)
      looked[#looked + 1] = {i, reading_there}
      if not fit and guard.enforce and plan.enforce then failed, wait = i, later break end
      if not fit then warned[#warned + 1] = i end
    end
  end
end

local refused = (refusal > 0 and plan.enforce) or stopped or failed > 0
local status = refused and 'refused' or plan.commit and 'reserved' or 'picked'
local answer = pack({status, refusal, unseen, cold, chosen, reading, told, cost, sure, most, flat, matched, failed, wait, warned, looked})
if status ~= 'reserved' then return answer end

-- Take it all.
local case = plan.cases[chosen]
for _, x in ipairs(plan.latches) do
  if certain(x) then remember(send, 'latch:' .. x, confirmed(clocks, x)) end
end
local holds = {}
for _, guard in ipairs(held) do holds[#holds + 1] = takes[guard.kind] and takes[guard.kind](guard, send) end
if #holds > 0 then remember(send, 'holds', pack(holds)) end
if case and case.meter > 0 then remember(send, 'meter', KEYS[case.meter]) end
redis.call('HSET', reservation_key, spread(send.record))
redis.call('PEXPIRE', reservation_key, plan.lifetime)
if case and case.opens ~= '' then
  redis.call('HSET', thread_key, case.opens .. '?', now + case.length, case.opens .. '&', plan.id)
  keep(thread_key, case.length)
end
if case and case.meter > 0 then
  redis.call('HINCRBY', KEYS[case.meter], 'reserved', 1)
  keep(KEYS[case.meter], plan.meter_lifetime)
end
return answer
