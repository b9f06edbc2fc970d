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

A number that never differs is passed to a command as text: Redis prints every other one first, as a float.
]]

local spread = unpack  -- Lua's own
local pack, unpack = cmsgpack.pack, cmsgpack.unpack
local UNKNOWN, ANY = -1, -1

-- What a list holds: values, or rows that are packed themselves.
local function rows(packed) return {unpack(packed)} end

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

-- Until when each clock that is open is: for certain; as is expected; and the latter once more, in a list.
local function open_clocks(clocks, now)
  local certain, expected, flat = {}, {}, {}
  for field in pairs(clocks) do
    local x = field:match('^([%w:_]+)%??$')
    if x and not expected[x] then
      local known, hoped = confirmed(clocks, x), assumed(clocks, x)
      if known > now then certain[x] = known end
      if known > now or hoped > now then
        expected[x] = math.max(known, hoped)
        flat[#flat + 1] = x
        flat[#flat + 1] = expected[x]
      end
    end
  end
  return certain, expected, flat
end

-- Let *key* live at least *span* more milliseconds.
local function keep(key, span)
  span = math.ceil(span)
  if span > redis.call('PTTL', key) then redis.call('PEXPIRE', key, span) end
end

-- The first case from *first* on that holds: its index and the clock that made it hold. *open* says whether a clock is open.
local function pick(cases, first, open, certain)
  for i = first, #cases do
    local needs, unconfirmed = unpack(cases[i])
    if not (certain and unconfirmed) then
      if needs == '' then return i end
      for _, x in ipairs(rows(needs)) do
        if open(x) then return i, x end
      end
    end
  end
  return 0
end

-- What a case costs; what its meter reads, namely what was settled, by us or before us, and unless *settled_only* what is reserved; and
-- what Meta told that it reads.
local function priced(case, settled_only)
  local _, _, tariff, meter = unpack(case)
  local reading, told = 0, 0
  if meter > 0 then
    local counts = redis.call('HMGET', KEYS[meter], 'settled', 'opening', 'reserved', 'told')
    reading = tonumber(counts[1] or 0) + tonumber(counts[2] or 0) + (settled_only and 0 or tonumber(counts[3] or 0))
    told = tonumber(counts[4] or 0)
  end
  local steps = rows(tariff)  -- up to which reading, and the price, in turn
  for i = 1, #steps, 2 do
    if steps[i] == ANY or reading < steps[i] then return steps[i + 1], reading, told end
  end
  return UNKNOWN, reading, told
end
