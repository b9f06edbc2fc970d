--[[
observe: move the clocks of one thread by what Meta said of it.

Owns     that clocks only move forward, whatever the order and repetition of what is said
Never    how long a clock runs, or what opens it

KEYS[1]  thread    HASH    gk:{P}:thread:<phone_number_id>:<recipient>
ARGV[1]  now       int     Unix milliseconds
ARGV[2]  changes   msgpack list of gatekeeper.core.effects:Change
Returns  int       how many changes were new
Writes   only what moves a clock forward, shuts it, or follows Meta's newest word on its end
Expires  every key that it writes
]]

local thread_key = KEYS[1]
local now, changes = tonumber(ARGV[1]), unpack(ARGV[2])

local clocks
thread_key, clocks = thread(thread_key)
local moved = 0

local function set(field, value, ends)
  redis.call('HSET', thread_key, field, value)
  clocks[field] = value
  if ends > now then keep(thread_key, ends - now) end
end

local function drop(field)
  redis.call('HDEL', thread_key, field)
  clocks[field] = nil
end

local moves = {}

-- Something opened *x* at change.at; it runs until change.ends.
function moves.open(x, change)
  if change.ends <= now or change.ends <= number(clocks, x) then return end
  set(x, change.ends, change.ends)
  set(x .. '<', change.at, change.ends)
  moved = moved + 1
end

-- Whatever opened *x* up to change.at does not count, nor what this very reservation assumed.
function moves.shut(x, change)
  if clocks[x .. '&'] == change.by then
    drop(x .. '?')
    drop(x .. '&')
  end
  if change.at <= number(clocks, x .. '!') or (change.ends <= now and number(clocks, x) <= now) then return end
  set(x .. '!', change.at, change.ends)
  drop(x .. '=')
  moved = moved + 1
end

-- Meta says when *x* ends. That corrects what is open, and is believed of what is only assumed, without confirming it.
function moves.tell(x, change)
  if change.at <= number(clocks, x .. '!') then return end
  local since, ends, named = number(clocks, x .. '<'), confirmed(clocks, x), clocks[x .. '%'] or ''
  local another = change.conversation ~= '' and named ~= '' and named ~= change.conversation
  if another and change.at < since then return end  -- an earlier conversation's end, heard of late
  if ends > change.at and change.ends > since and not another then
    moves.prove(x, change)
    if change.at >= number(clocks, x .. '@') then
      if ends ~= change.ends then moved = moved + 1 end
      set(x, change.ends, change.ends)
      set(x .. '=', change.ends, change.ends)
    end
  elseif change.ends > now and change.at >= number(clocks, x .. '@') then
    if assumed(clocks, x) ~= change.ends or number(clocks, x .. '=') ~= change.ends then moved = moved + 1 end
    set(x .. '?', change.ends, change.ends)
    set(x .. '=', change.ends, change.ends)
    set(x .. '&', change.by, change.ends)  -- from now on it hangs on this message, the last that Meta named with it
  end
  if change.ends > now and change.at > number(clocks, x .. '@') then set(x .. '@', change.at, change.ends) end
end

-- Meta counts a message in *x*: that it opened is no longer only our word.
function moves.prove(x, change)
  if clocks[x .. '~'] ~= '1' or number(clocks, x) <= change.at then return end
  drop(x .. '~')
  moved = moved + 1
end

for _, change in ipairs(changes) do moves[change.kind](change.clock, change) end
return moved
