--[[
guards: what the scripts that take and give back share, put before each behind the prelude.

Owns     what each kind of guard compares, what it takes of its key, and how that is given back
Never    what a guard is for, or what its key counts

at_most   HASH    spent and reserved micro-units
spaced    STRING  the moment from which on the next one is due, in milliseconds with a fraction
distinct  ZSET    names by the moment that each was last reached; beside it a HASH of those only taken, by how many sends
]]

local function within(list, n)
  for _, one in ipairs(list) do
    if one == n then return true end
  end
  return #list == 0
end

-- The key of a guard: one for all, or one for each recipient.
local function guarded(guard, name)
  return guard.by_recipient and KEYS[guard.key] .. ':' .. name or KEYS[guard.key]
end

local fits, takes, gives = {}, {}, {}

function fits.at_most(guard, send)
  local counts = redis.call('HMGET', guarded(guard, send.name), 'spent', 'reserved')
  local taken = tonumber(counts[1] or 0) + tonumber(counts[2] or 0)
  return send.amount == 0 or taken + send.amount <= guard.limit, 0, taken
end

function takes.at_most(guard, send)
  local key = guarded(guard, send.name)
  redis.call('HINCRBY', key, 'reserved', send.amount)
  keep(key, send.lifetime)
  return {'at_most', key, send.amount}
end

function gives.at_most(hold, delivered, cost)
  if hold[3] ~= 0 then redis.call('HINCRBY', hold[2], 'reserved', -hold[3]) end
  if delivered and cost > 0 then redis.call('HINCRBY', hold[2], 'spent', cost) end
  return {hold[1], hold[2], 0}
end

local function due(guard, send)
  return math.max(send.at, tonumber(redis.call('GET', guarded(guard, send.name)) or 0)) + guard.every
end

function fits.spaced(guard, send)
  local early = due(guard, send) - guard.burst * guard.every - send.at
  return early <= 0, math.ceil(early), math.max(math.ceil(early), 0)
end

function takes.spaced(guard, send)
  local moment = due(guard, send)
  redis.call('SET', guarded(guard, send.name), string.format('%.3f', moment), 'PX', math.ceil(moment - send.at))
end

local function reached(guard, send)
  local moment = redis.call('ZSCORE', KEYS[guard.key], send.name)
  return moment and tonumber(moment) > send.at - guard.every
end

function fits.distinct(guard, send)
  local count = redis.call('ZCOUNT', KEYS[guard.key], '(' .. send.at - guard.every, '+inf')
  return reached(guard, send) or count < guard.limit, 0, count
end

function takes.distinct(guard, send)
  local key, held_key = KEYS[guard.key], KEYS[guard.held]
  for _, name in ipairs(redis.call('ZRANGEBYSCORE', key, '-inf', send.at - guard.every, 'LIMIT', 0, 9)) do
    redis.call('ZREM', key, name)
    redis.call('HDEL', held_key, name)
  end
  if not reached(guard, send) then
    redis.call('ZADD', key, send.at, send.name)
    redis.call('HSET', held_key, send.name, 1)
  elseif redis.call('HEXISTS', held_key, send.name) == 1 then
    redis.call('HINCRBY', held_key, send.name, 1)
  end
  keep(key, send.lifetime)
  keep(held_key, send.lifetime)
  return {'distinct', key, held_key, send.name}
end

function gives.distinct(hold, delivered, _, at)
  local key, held_key, name = hold[2], hold[3], hold[4]
  if delivered then
    redis.call('HDEL', held_key, name)
    redis.call('ZADD', key, math.max(at, tonumber(redis.call('ZSCORE', key, name) or 0)), name)
  elseif redis.call('HEXISTS', held_key, name) == 1 and redis.call('HINCRBY', held_key, name, -1) <= 0 then
    redis.call('HDEL', held_key, name)
    redis.call('ZREM', key, name)
  end
  return hold
end

function fits.absent(guard, send) return not send.certain(guard.clock), 0, 0 end

-- Give back what a record holds of its meter and guards. A group's next member finds its guards there, with nothing more to give back.
local function give_back(record_key, record, delivered, cost, at)
  if record.meter then
    if redis.call('HINCRBY', record.meter, 'reserved', -1) <= 0 then redis.call('HDEL', record.meter, 'reserved') end
    redis.call('HDEL', record_key, 'meter')
  end
  if not record.holds then return end
  local kept = {}
  for i, hold in ipairs(unpack(record.holds)) do kept[i] = gives[hold[1]](hold, delivered, cost, at) end
  redis.call('HSET', record_key, 'holds', pack(kept))
end
