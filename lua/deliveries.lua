--[[
deliveries: the log of what was delivered in a thread, put before the scripts that settle.

Owns     how the log is stored, and that a late delivery puts the clocks back to what they were before those that came after it
Never    what a delivery opens or costs

The log is a hash: the name of each message, and a list
  at, opens, ends, by, conversation, meter, reading, unproven
`opens` is the clock that it opened, empty for none; a `-` before it: another delivery that came earlier was heard of later, so it has to
be settled again. `by` is the clock that made it open; `conversation` is Meta's id; `reading` is what its meter read; `unproven` is 1 when
Meta does not say that it opened.
]]

local function deliveries_of(thread_key) return (thread_key:gsub(':thread:', ':deliveries:')) end

local function deliveries(key)
  local flat, found = redis.call('HGETALL', key), {}
  for i = 1, #flat, 2 do
    local at, opens, ends, by, conversation, meter, reading, unproven = spread(unpack(flat[i + 1]))
    local one = {name = flat[i], at = at, opens = opens, ends = ends, by = by}
    one.conversation, one.meter, one.reading, one.unproven = conversation, meter, reading, unproven
    found[#found + 1] = one
  end
  table.sort(found, function(a, b) return a.at < b.at or (a.at == b.at and a.name < b.name) end)
  return found
end

local function is_stale(delivery) return delivery.opens:sub(1, 1) == '-' end

local function keep_delivery(key, one, lifetime)
  local row = {one.at, one.opens, one.ends, one.by, one.conversation, one.meter, one.reading, one.unproven}
  redis.call('HSET', key, one.name, pack(row))
  redis.call('PEXPIRE', key, lifetime)
end

-- Set a field of a thread that is not there when it would be empty.
local function set_word(thread_key, clocks, field, value)
  if value ~= '' then
    redis.call('HSET', thread_key, field, value)
  elseif clocks[field] then
    redis.call('HDEL', thread_key, field)
  end
  clocks[field] = value ~= '' and value or nil
end

-- Put *x* back to what the last of *known* opened, which are in the order of their times.
local function put_back(thread_key, clocks, x, known)
  local last
  for _, one in ipairs(known) do
    if one.opens == x then last = one end
  end
  set_word(thread_key, clocks, x, last and last.ends or '')
  set_word(thread_key, clocks, x .. '<', last and last.at or '')
  set_word(thread_key, clocks, x .. '~', last and last.unproven or '')
  set_word(thread_key, clocks, x .. '%', last and last.conversation or '')
end

-- Mark every delivery after *at* as one that has to be settled again, and put the clocks back to what they were before those.
local function rewind(key, thread_key, clocks, known, at, lifetime)
  local moved = {}
  for _, one in ipairs(known) do
    if one.at > at and not is_stale(one) then
      local x = one.opens
      if x ~= '' then
        moved[x] = true
        if one.at == number(clocks, x .. '<') then
          one.ends, one.unproven, one.conversation = number(clocks, x), clocks[x .. '~'] or '', clocks[x .. '%'] or ''
        end
        if one.by ~= '' and number(clocks, one.by .. '*') == one.at then set_word(thread_key, clocks, one.by .. '*', '') end
      end
      one.opens = '-' .. x
      keep_delivery(key, one, lifetime)
    end
  end
  for x in pairs(moved) do put_back(thread_key, clocks, x, known) end
end

-- Forget what a busy thread has too much of: no more is remembered than is read in no time.
local function trim(key, others)
  for i = 1, #others - 9 * 9 do
    if not is_stale(others[i]) then redis.call('HDEL', key, others[i].name) end
  end
end
