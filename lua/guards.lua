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

-- Whether a list has *n* in it; an empty one has all.
local function within(list, n)
  if list == '' then return true end
  for _, one in ipairs(rows(list)) do
    if one == n then return true end
  end
  return false
end

-- Put a field into the record of a send, which is written in one go.
local function remember(record, field, value)
  local last = #record
  record[last + 1] = field
  record[last + 2] = value
end

-- Each kind says whether a send fits, after how many milliseconds it would, and what was read; and how it takes, and what it then holds.
-- They are made for a send that is guarded: Redis makes every function anew for each call.
local function kinds_of_guards()
  -- The key of a guard: one for all, or one for each recipient.
  local function guarded(key, by_recipient, send)
    return by_recipient and KEYS[key] .. ':' .. name_of(send.thread_key) or KEYS[key]
  end
  return {
    at_most = function(send, key, by_recipient, limit, lifetime)
      key = guarded(key, by_recipient, send)
      local counts, amount = redis.call('HMGET', key, 'spent', 'reserved'), send.amount
      local taken = number(counts, 1) + number(counts, 2)
      return amount == 0 or taken + amount <= limit, 0, taken, function()
        if amount > 0 then
          redis.call('HINCRBY', key, 'reserved', amount)
          outlive(key, lifetime)
        end
        return {'at_most', key, lifetime, amount}
      end
    end,
    -- How full the bucket is with this send in it, in shares of a millisecond as many as *burst*: whole numbers, so that exactly so
    -- many sends fit. It leaks a millisecond in each.
    spaced = function(send, key, by_recipient, every, burst, lifetime)
      key = guarded(key, by_recipient, send)
      local last, level, share = (redis.call('GET', key) or '0 0 1'):match('^(%d+) (%d+) (%d+)$')
      if last - send.at > every then last, level = send.at, 0 end  -- nobody waits until a clock that stepped back is where it was
      local filled = math.max(math.ceil(level * burst / share) - (send.at - last) * burst, 0) + every
      local early = math.max(math.ceil((filled - burst * every) / burst), 0)
      return early == 0, early, early, function()
        level = math.min(filled, burst * every)  -- what only warns does not run up a debt
        redis.call('SET', key, string.format('%d %d %d', send.at, level, burst), 'PX', lifetime)
      end
    end,
    distinct = function(send, key, held, limit, every, lifetime)
      local reached_key, held_key, name = KEYS[key], KEYS[held], name_of(send.thread_key)
      local count = redis.call('ZCOUNT', reached_key, '(' .. send.at - every, '+inf')
      local moment = tonumber(redis.call('ZSCORE', reached_key, name) or 0)
      if moment <= send.at - every then moment = nil end
      return moment ~= nil or count < limit, 0, count, function()
        for _, old in ipairs(redis.call('ZRANGEBYSCORE', reached_key, '-inf', send.at - every, 'LIMIT', 0, 9)) do
          redis.call('ZREM', reached_key, old)
          redis.call('HDEL', held_key, old)
        end
        local packed = moment and redis.call('HGET', held_key, name)
        local going = packed and unpack(packed) or {0, send.at, moment or 0}
        redis.call('HSET', held_key, name, pack({going[1] + 1, going[2], going[3]}))
        redis.call('ZADD', reached_key, math.max(send.at, moment or 0), name)
        keep(reached_key, lifetime)
        keep(held_key, lifetime)
        return {'distinct', reached_key, lifetime, held_key, name, send.at}
      end
    end,
    -- Which answer this is to what opened the clock last: another opening begins anew, and while it is not open nothing is answered.
    turn = function(send, clock)
      local since, field, count = send.certain[clock] and send.clocks[clock .. '<'], clock .. '#', 0
      if since then
        local at, before = (send.clocks[field] or '0 0'):match('^(%d+) (%d+)$')
        count = at == since and before + 1 or 1
      end
      return true, 0, count, function(record)
        if count == 0 then return nil end
        local turn = string.format('%s %d', since, count)
        redis.call('HSET', send.thread_key, field, turn)
        remember(record, 'turn', field .. ' ' .. turn)
      end
    end,
    absent = function(send, clock) return not send.certain[clock], 0, 0 end,
  }
end
