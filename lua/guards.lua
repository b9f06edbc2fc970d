--[[
guards: what the scripts that take and give back share, put before them behind the prelude.

Owns     what each kind of guard compares, and what it takes of its key
Never    what a guard is for, or what its key counts

at_most   HASH    spent and reserved micro-units
spaced    STRING  a bucket: when something was last put in, how full it was then, and by what share of a millisecond that is told
turn      HASH    a thread's field: when the clock was opened, and how many answers there were since
distinct  ZSET    names by the moment that each was last reached, or last taken for
          HASH    of those with sends on their way: how many, since when, and when one of them was last delivered
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

-- Put a field into the record of a send, which is written in one go.
local function remember(send, field, value)
  send.record[#send.record + 1] = field
  send.record[#send.record + 1] = value
end

local fits, takes = {}, {}

function fits.at_most(guard, send)
  local counts = redis.call('HMGET', guarded(guard, send.name), 'spent', 'reserved')
  local taken = tonumber(counts[1] or 0) + tonumber(counts[2] or 0)
  return send.amount == 0 or taken + send.amount <= guard.limit, 0, taken
end

function takes.at_most(guard, send)
  local key = guarded(guard, send.name)
  if send.amount > 0 then
    redis.call('HINCRBY', key, 'reserved', send.amount)
    keep(key, guard.lifetime)
  end
  return {'at_most', key, guard.lifetime, send.amount}
end

-- How full the bucket is with this send in it, in shares of a millisecond as many as *burst*: whole numbers, so that exactly so
-- many sends fit. It leaks a millisecond in each.
local function filled(guard, send)
  local last, level, burst = (redis.call('GET', guarded(guard, send.name)) or '0 0 1'):match('^(%d+) (%d+) (%d+)$')
  if last - send.at > guard.every then last, level = send.at, 0 end  -- nobody waits until a clock that stepped back is where it was
  return math.max(math.ceil(level * guard.burst / burst) - (send.at - last) * guard.burst, 0) + guard.every
end

function fits.spaced(guard, send)
  local early = math.max(math.ceil((filled(guard, send) - guard.burst * guard.every) / guard.burst), 0)
  return early == 0, early, early
end

function takes.spaced(guard, send)
  local level = math.min(filled(guard, send), guard.burst * guard.every)  -- what only warns does not run up a debt
  redis.call('SET', guarded(guard, send.name), string.format('%d %d %d', send.at, level, guard.burst), 'PX', guard.lifetime)
end

local function reached(guard, send)
  local moment = tonumber(redis.call('ZSCORE', KEYS[guard.key], send.name) or 0)
  return moment > send.at - guard.every and moment or nil
end

function fits.distinct(guard, send)
  local count = redis.call('ZCOUNT', KEYS[guard.key], '(' .. send.at - guard.every, '+inf')
  return reached(guard, send) ~= nil or count < guard.limit, 0, count
end

function takes.distinct(guard, send)
  local key, held_key, moment = KEYS[guard.key], KEYS[guard.held], reached(guard, send)
  for _, name in ipairs(redis.call('ZRANGEBYSCORE', key, '-inf', send.at - guard.every, 'LIMIT', 0, 9)) do
    redis.call('ZREM', key, name)
    redis.call('HDEL', held_key, name)
  end
  local packed = moment and redis.call('HGET', held_key, send.name)
  local going = packed and unpack(packed) or {0, send.at, moment or 0}
  redis.call('HSET', held_key, send.name, pack({going[1] + 1, going[2], going[3]}))
  redis.call('ZADD', key, math.max(send.at, moment or 0), send.name)
  keep(key, guard.lifetime)
  keep(held_key, guard.lifetime)
  return {'distinct', key, guard.lifetime, held_key, send.name, send.at}
end

-- Which answer this is to what opened the clock last: another opening begins anew, and while it is not open nothing is answered.
local function nth(guard, send)
  local since = send.certain(guard.clock) and number(send.clocks, guard.clock .. '<') or 0
  local at, count = (send.clocks[guard.clock .. '#'] or '0 0'):match('^(%d+) (%d+)$')
  return since == 0 and 0 or (tonumber(at) == since and count or 0) + 1, since
end

function fits.turn(guard, send) return true, 0, (nth(guard, send)) end

function takes.turn(guard, send)
  local count, since = nth(guard, send)
  if count == 0 then return nil end
  redis.call('HSET', send.thread_key, guard.clock .. '#', string.format('%d %d', since, count))
  remember(send, 'turn', count)
  return {'turn', send.thread_key, guard.clock .. '#', since}
end

function fits.absent(guard, send) return not send.certain(guard.clock), 0, 0 end
