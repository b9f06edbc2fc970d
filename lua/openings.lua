--[[
openings: which clocks of a thread a delivery found open, and which it opened, put before the scripts that settle.

Owns     that the first message delivered in time is the one that opened a clock, in whatever order deliveries are heard of
Never    what a clock is for, or how long it runs

A thread's deliveries are a hash: the name of each message, and a list
  at, opens, ends, by, conversation, meter, reading
`opens` is the clock that it opened, empty for none; a `-` before it: another delivery that came earlier was heard of later, so it has to
be settled again. `by` is the clock that made it open; `conversation` is Meta's id; `reading` is what its meter read.
]]

local function deliveries_of(thread_key) return (thread_key:gsub(':thread:', ':deliveries:')) end

local function deliveries(key)
  local flat, found = redis.call('HGETALL', key), {}
  for i = 1, #flat, 2 do
    local at, opens, ends, by, conversation, meter, reading = spread(unpack(flat[i + 1]))
    found[#found + 1] = {name = flat[i], at = at, opens = opens, ends = ends, by = by, conversation = conversation, meter = meter,
      reading = reading}
  end
  table.sort(found, function(a, b) return a.at < b.at or (a.at == b.at and a.name < b.name) end)
  return found
end

local function is_stale(delivery) return delivery.opens:sub(1, 1) == '-' end

local function keep_delivery(key, one, lifetime)
  redis.call('HSET', key, one.name, pack({one.at, one.opens, one.ends, one.by, one.conversation, one.meter, one.reading}))
  redis.call('PEXPIRE', key, lifetime)
end

-- The delivery among *others* whose opening of *x* covers the moment *at*, and whether the clock's own opening is one of theirs. A
-- conversation that Meta names is that one and no other, whatever its end.
local function covering(others, clocks, x, at, conversation)
  local since, denied, listed = number(clocks, x .. '<'), number(clocks, x .. '!'), false
  for _, one in ipairs(others) do
    if one.opens == x then
      local ends = one.ends
      if one.at == since then
        listed, ends = true, number(clocks, x)
      end
      if one.at <= at and one.at > denied then
        local named = conversation and conversation ~= '' and one.conversation ~= ''
        if named and one.conversation == conversation or not named and ends > at then return one, true end
      end
    end
  end
  return nil, listed
end

-- Mark every delivery after *at* as one that has to be settled again, and put the clocks back to what they were before those.
local function rewind(key, thread_key, clocks, others, at, lifetime)
  local moved = {}
  for _, one in ipairs(others) do
    if one.at > at and not is_stale(one) then
      local x = one.opens
      if x ~= '' then
        moved[x] = true
        if one.at == number(clocks, x .. '<') then one.ends = number(clocks, x) end
        if one.by ~= '' and number(clocks, one.by .. '*') == one.at then
          redis.call('HDEL', thread_key, one.by .. '*')
          clocks[one.by .. '*'] = nil
        end
      end
      one.opens = '-' .. x
      keep_delivery(key, one, lifetime)
    end
  end
  for x in pairs(moved) do
    local last
    for _, one in ipairs(others) do
      if one.opens == x then last = one end
    end
    redis.call('HDEL', thread_key, x .. '~', x .. '%')
    if last then
      redis.call('HSET', thread_key, x, last.ends, x .. '<', last.at)
      clocks[x], clocks[x .. '<'] = last.ends, last.at
    else
      redis.call('HDEL', thread_key, x, x .. '<')
      clocks[x], clocks[x .. '<'] = nil, nil
    end
  end
end

-- What a meter read for an earlier settlement of this delivery, or else for the next opening that this one comes before; and whose that is.
local function former_reading(own, others, meter, at)
  if own and own.meter == meter and own.reading >= 0 then return own.reading, own end
  for _, one in ipairs(others) do
    if one.at > at and one.meter == meter and one.reading >= 0 and #one.opens > 1 then return one.reading, one end
  end
  return nil
end

-- Let a delivery open what its case opens, and remember it among the others; the names of those that have to be settled again come back.
local function open_by(it, clocks, others)
  local x, mine, at, late = it.opens, it.mine, it.at, {}
  local was = mine and mine.opens
  if not it.again and (x ~= '' or was and was ~= '') then
    local all = {spread(others)}
    all[#all + 1] = was and not is_stale(mine) and mine or nil
    rewind(it.log_key, it.thread_key, clocks, all, at, it.lifetime)
  end
  local conversation, ends = it.conversations[x], 0
  if x ~= '' then
    local said = it.told[x] or at >= number(clocks, x .. '<') and number(clocks, x .. '=') or 0
    ends = at + it.length
    if it.again and was == '-' .. x then
      ends = mine.ends
    elseif said > at or it.told[x] or (said > 0 and said == assumed(clocks, x) and clocks[x .. '&'] == it.id) then
      ends = said
    end
    if ends > confirmed(clocks, x) then
      redis.call('HSET', it.thread_key, x, ends, x .. '<', at, x .. '%', conversation or '', x .. '~', it.unproven and not conversation and '1' or '')
      keep(it.thread_key, math.max(ends - at, 1))
    end
    -- What made it open is used up by it: an ad is answered once.
    if it.by and at > number(clocks, it.by .. '*') then redis.call('HSET', it.thread_key, it.by .. '*', at) end
  end
  for _, joined in ipairs(it.joined) do
    if it.conversations[joined] then redis.call('HSET', it.thread_key, joined .. '~', '') end
  end
  if x == '' and it.inside ~= true and it.inside and it.inside.conversation == '' and it.conversations[it.inside.opens] then
    it.inside.conversation = it.conversations[it.inside.opens]
    keep_delivery(it.log_key, it.inside, it.lifetime)
  end
  if x == '' and #it.joined == 0 and not mine then return late end
  local _, lender = former_reading(mine, others, it.meter, at)
  if it.meter ~= '' and lender and lender ~= mine then
    lender.reading = UNKNOWN
    keep_delivery(it.log_key, lender, it.lifetime)
  end
  keep_delivery(it.log_key, {name = it.name, at = at, opens = x, ends = ends, by = x ~= '' and it.by or '', conversation = conversation or '',
    meter = it.meter, reading = it.reading}, it.lifetime)
  for i = 1, #others - 9 * 9 do  -- a busy thread remembers no more than is read in no time
    if not is_stale(others[i]) then redis.call('HDEL', it.log_key, others[i].name) end
  end
  for _, one in ipairs(not it.again and others or {}) do
    if is_stale(one) then late[#late + 1] = one.name end
  end
  return late
end
