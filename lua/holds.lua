--[[
holds: how what a record holds is given back, put before the scripts that give back.

Owns     that what a guard or meter took is given back once
Never    what it was taken for
]]

-- Give back which answer a send was to what the user wrote: *turn* is the field of its thread, and what this made of it.
local function unanswer(thread_key, turn)
  local field, since = (turn or ''):match('^(%S+) (%d+) %d+$')
  if not field then return end  -- none, or the version before kept it among the holds
  thread_key = thread(thread_key)
  local at, count = (redis.call('HGET', thread_key, field) or '0 0'):match('^(%d+) (%d+)$')
  if at ~= since then return end
  if count + 0 > 1 then
    redis.call('HSET', thread_key, field, string.format('%s %d', at, count - 1))
  else
    redis.call('HDEL', thread_key, field)
  end
end

-- How each kind of guard is given back, and what is left of its hold. They are made for a record that holds something: Redis makes every
-- function anew for each call.
local function gives_of_holds()
  return {
    at_most = function(hold, _, cost)
      local kind, key, lifetime, amount = hold[1], hold[2], hold[3], hold[4]
      if amount > 0 and redis.call('HINCRBY', key, 'reserved', -amount) <= 0 then redis.call('HDEL', key, 'reserved') end
      if cost > 0 then  -- of what was not delivered there is none
        redis.call('HINCRBY', key, 'spent', cost)
        outlive(key, lifetime)
      end
      return {kind, key, lifetime, 0}
    end,
    -- A send that set out before those that are held for its name was forgotten meanwhile, and gives nothing back.
    distinct = function(hold, delivered, _, at)
      local key, lifetime, held_key, name, taken = hold[2], hold[3], hold[4], hold[5], hold[6]
      if delivered then redis.call('ZADD', key, math.max(at, tonumber(redis.call('ZSCORE', key, name) or 0)), name) end
      local packed = redis.call('HGET', held_key, name)
      local going = packed and unpack(packed)
      if going and taken >= going[2] then
        local left, last = going[1] - 1, delivered and math.max(at, going[3]) or going[3]
        if left > 0 then
          redis.call('HSET', held_key, name, pack({left, going[2], last}))
        else
          redis.call('HDEL', held_key, name)
          if last > 0 then redis.call('ZADD', key, last, name) else redis.call('ZREM', key, name) end
        end
      end
      if delivered then keep(key, lifetime) end
      return {hold[1], key, lifetime, held_key, name, 0}
    end,
    -- As the version before kept it.
    turn = function(hold, delivered)
      local kind, key, field, since = hold[1], hold[2], hold[3], hold[4]
      if not delivered then unanswer(key, string.format('%s %d 1', field, since)) end
      return {kind, key, field, 0}
    end,
  }
end

-- Give back what a record holds of its meter and guards. What is left of that is for a group's next member: its guards, with nothing more
-- to give back.
local function give_back(meter_key, holds, delivered, cost, at)
  if meter_key and redis.call('HINCRBY', meter_key, 'reserved', '-1') <= 0 then redis.call('HDEL', meter_key, 'reserved') end
  if not holds then return {} end
  local left, gives = {}, gives_of_holds()
  for i, hold in ipairs(unpack(holds)) do left[i] = gives[hold[1]](hold, delivered, cost, at) end
  return left
end

-- Take back what a settlement booked, before the message is settled anew.
local function unbook(settled, holds)
  local _, spend_key, cell, cost, meter_key = spread(settled)
  book(spend_key, 's', cell, cost, '-1')
  if meter_key ~= '' and redis.call('EXISTS', meter_key) == 1 then redis.call('HINCRBY', meter_key, 'settled', '-1') end
  for _, hold in ipairs(holds and cost > 0 and unpack(holds) or {}) do
    if hold[1] == 'at_most' and redis.call('HGET', hold[2], 'spent') then redis.call('HINCRBY', hold[2], 'spent', -cost) end
  end
end
