--[[
prelude: what scripts share, put by the loader before each that uses it.

Owns     how the clocks of a thread are stored and read, and how long a key lives
Never    what a clock means

A thread is a hash. A clock `x` of it has the fields
  x    open until         x<   opened at         x!   denied at: openings up to then never counted
  x*   used up at: openings up to then count no longer
  x#   opened at, answers since
  x~   1 when nobody but we says that it opened
  x%   Meta's id of the conversation that is open
  x?   assumed open until  x&   by which reservation x=   Meta's own expiry of what is assumed    x@   when Meta said so
A name that leads to another one has `link`, the key of that; `exact`, how exactly that tells a user; `said`, when Meta last said so.

A number that never differs is passed to a command as text: Redis prints every other one first, as a float.
]]

local spread = unpack  -- Lua's own
local pack, unpack = cmsgpack.pack, cmsgpack.unpack
local UNKNOWN = -1

-- What a list holds: values, or rows that are packed themselves; of a flat one their fields, one row after the other.
local function rows(packed) return packed ~= '' and {unpack(packed)} or {} end

local function fields(key)
  local flat, found = redis.call('HGETALL', key), {}
  for i = 1, #flat, 2 do found[flat[i]] = flat[i + 1] end
  return found
end

-- The key and fields of the thread that *key* leads to, and how exactly the last name on the way tells its user; nil without a way.
local function thread(key)
  local found, seen, exact = fields(key), nil, nil
  while found.link do
    seen = seen or {}
    if seen[key] then return key, {}, exact end  -- a ring: nothing makes one, and it must not hang us
    seen[key] = true
    key, exact = found.link, tonumber(found.exact or 0)
    found = fields(key)
  end
  return key, found, exact
end

-- The recipient that a thread is of.
local function name_of(thread_key) return thread_key:match('^gk:{.-}:thread:%d+:(.*)$') or thread_key end

-- A field as a number, 0 without one; arithmetic reads it in half the time of `tonumber`.
local function number(clocks, field)
  local text = clocks[field]
  return text and text + 0 or 0
end

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
    local sign = field:sub(-1)
    local x = (sign == '<' or sign == '?') and field:sub(1, -2)
    if x and not expected[x] then
      local known, hoped = confirmed(clocks, x), number(clocks, x .. '?')
      if known > now and clocks[x .. '~'] ~= '1' then certain[x] = known end
      if known > now or hoped > now then
        local ends = known > hoped and known or hoped
        expected[x] = ends
        flat[#flat + 1] = x
        flat[#flat + 1] = ends
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

-- Let a counter live *span* more milliseconds, or a little less: not each of those that count has to say so anew.
local function outlive(key, span)
  if redis.call('PTTL', key) < span - span / 8 / 8 then redis.call('PEXPIRE', key, span) end
end
