--[[
prelude: what scripts share, put by the loader before each that uses it.

Owns     how the clocks of a thread are stored and read, and which case is the first that holds
Never    what a clock, a price or a meter means

A thread is a hash. A clock `x` of it has the fields
  x    open until         x<   opened at         x!   denied at: openings up to then never counted
  x*   used up at: openings up to then count no longer
  x#   opened at, answers since
  x?   assumed open until  x&   by which reservation x=   Meta's own expiry of what is assumed    x@   when Meta said so
A name that leads to another one has `link`, the key of that; `exact`, how exactly that tells a user; `said`, when Meta last said so.
]]

local spread = unpack  -- Lua's own
local pack, unpack = cmsgpack.pack, cmsgpack.unpack
local UNKNOWN, ANY = -1, -1

local function fields(key)
  local flat, found = redis.call('HGETALL', key), {}
  for i = 1, #flat, 2 do found[flat[i]] = flat[i + 1] end
  return found
end

-- The key and fields of the thread that *key* leads to, and how exactly the last name on the way tells its user; nil without a way.
local function thread(key)
  local found, seen, exact = fields(key), {}, nil
  while found.link do
    if seen[key] then return key, {}, exact end  -- a ring: nothing makes one, and it must not hang us
    seen[key] = true
    key, exact = found.link, tonumber(found.exact or 0)
    found = fields(key)
  end
  return key, found, exact
end

-- The recipient that a thread is of.
local function name_of(thread_key) return thread_key:match('^gk:{.-}:thread:%d+:(.*)$') or thread_key end

local function number(clocks, field) return tonumber(clocks[field] or 0) end

local function confirmed(clocks, x)
  local since = number(clocks, x .. '<')
  if since <= number(clocks, x .. '!') or since <= number(clocks, x .. '*') then return 0 end
  return number(clocks, x)
end

local function assumed(clocks, x) return number(clocks, x .. '?') end

-- Let *key* live at least *span* more milliseconds.
local function keep(key, span)
  span = math.ceil(span)
  if span > redis.call('PTTL', key) then redis.call('PEXPIRE', key, span) end
end

-- The price that a tariff gives at *reading*.
local function price(case, reading)
  for _, step in ipairs(case.tariff) do
    if step[1] == ANY or reading < step[1] then return step[2] end
  end
  return UNKNOWN
end

-- The first case that holds: its index and the clock that made it hold. *open* says whether a clock is open.
local function pick(cases, open, certain)
  for i, case in ipairs(cases) do
    if not (certain and case.unconfirmed) then
      if #case.needs == 0 then return i end
      for _, x in ipairs(case.needs) do
        if open(x) then return i, x end
      end
    end
  end
  return 0
end

-- What a case's meter reads: what was settled, by us or before us, and unless *settled_only* what is reserved; then what Meta told.
local function read(case, settled_only)
  if case.meter == 0 then return 0, 0 end
  local counts = redis.call('HMGET', KEYS[case.meter], 'settled', 'opening', 'reserved', 'told')
  local reading = tonumber(counts[1] or 0) + tonumber(counts[2] or 0)
  return reading + (settled_only and 0 or tonumber(counts[3] or 0)), tonumber(counts[4] or 0)
end

-- Book one message of *cost* micro-units on a day's bill: `kind#cell` counts, `kind$cell` sums, `kind?cell` counts unknown prices.
local function book(spend_key, kind, cell, cost, lifetime)
  redis.call('HINCRBY', spend_key, kind .. '#' .. cell, 1)
  if cost == UNKNOWN then
    redis.call('HINCRBY', spend_key, kind .. '?' .. cell, 1)
  elseif cost > 0 then
    redis.call('HINCRBY', spend_key, kind .. '$' .. cell, cost)
  end
  keep(spend_key, lifetime)
end

-- Take one message of *cost* off a day's bill again.
local function unbook(spend_key, kind, cell, cost, lifetime)
  redis.call('HINCRBY', spend_key, kind .. '#' .. cell, -1)
  if cost ~= 0 then
    redis.call('HINCRBY', spend_key, kind .. (cost == UNKNOWN and '?' or '$') .. cell, cost == UNKNOWN and -1 or -cost)
  end
  keep(spend_key, lifetime)
end
