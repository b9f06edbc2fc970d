--[[
openings: which clocks of a thread a delivery found open, and which it opened, put before the scripts that settle.

Owns     that the first message delivered in time is the one that opened a clock, in whatever order deliveries are heard of
Never    what a clock is for, or how long it runs
]]

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

-- What a meter read for an earlier settlement of this delivery, or else for the next opening that this one comes before; and whose that is.
local function former_reading(own, others, meter, at)
  if own and own.meter == meter and own.reading >= 0 then return own.reading, own end
  for _, one in ipairs(others) do
    local opening = one.opens ~= '' and one.opens ~= '-'
    if opening and one.at > at and one.meter == meter and one.reading >= 0 then return one.reading, one end
  end
  return nil
end

-- Until when what a delivery opens is open.
local function ends_of(it, clocks)
  local x, at = it.opens, it.at
  local said = it.told[x] or at >= number(clocks, x .. '<') and number(clocks, x .. '=') or 0
  if it.again and it.mine.opens == '-' .. x then return it.mine.ends end
  if said > at or it.told[x] or (said > 0 and said == assumed(clocks, x) and clocks[x .. '&'] == it.id) then return said end
  return at + it.length
end

-- Open a clock by a delivery, and use up what made it open: an ad is answered once.
local function open_clock(it, clocks, ends, conversation, unproven)
  local x, at = it.opens, it.at
  if ends > confirmed(clocks, x) then
    redis.call('HSET', it.thread_key, x, ends, x .. '<', at)
    set_word(it.thread_key, clocks, x .. '%', conversation)
    set_word(it.thread_key, clocks, x .. '~', unproven)
    keep(it.thread_key, math.max(ends - at, 1))
  end
  if it.by and at > number(clocks, it.by .. '*') then redis.call('HSET', it.thread_key, it.by .. '*', at) end
end

-- What Meta says of a clock that a delivery joined: it is open, and its conversation has this id.
local function join_clocks(it, clocks)
  for _, x in ipairs(it.joined) do
    local conversation, inside = it.conversations[x], it.inside
    if conversation then set_word(it.thread_key, clocks, x .. '~', '') end
    if conversation and conversation ~= '' and inside and inside ~= true and inside.opens == x and inside.conversation == '' then
      inside.conversation = conversation
      keep_delivery(it.log_key, inside, it.lifetime)
      if inside.at == number(clocks, x .. '<') then set_word(it.thread_key, clocks, x .. '%', conversation) end
    end
  end
end

-- Let a delivery open what its case opens, and remember it among the others; the names of those that have to be settled again come back.
local function open_by(it, clocks, others)
  local x, mine, at, late = it.opens, it.mine, it.at, {}
  local was, conversation, ends, unproven = mine and mine.opens, it.conversations[x] or '', 0, ''
  if not it.again and (x ~= '' or was and was ~= '') then
    local known = {spread(others)}
    if mine and not is_stale(mine) then known[#known + 1] = mine end
    rewind(it.log_key, it.thread_key, clocks, known, it.reworded and at - 1 or at, it.lifetime)
  end
  if x ~= '' then
    ends, unproven = ends_of(it, clocks), it.unproven and not it.conversations[x] and '1' or ''
    if it.again and was == '-' .. x then
      unproven = unproven == '1' and mine.unproven or ''
      conversation = conversation ~= '' and conversation or mine.conversation
    end
    open_clock(it, clocks, ends, conversation, unproven)
  end
  join_clocks(it, clocks)
  if x ~= '' or #it.joined > 0 or mine or it.depends then
    local _, lender = former_reading(mine, others, it.meter, at)
    if it.meter ~= '' and lender and lender ~= mine then
      lender.reading = UNKNOWN
      keep_delivery(it.log_key, lender, it.lifetime)
    end
    local one = {name = it.name, at = at, opens = x, ends = ends, by = x ~= '' and it.by or '', conversation = conversation}
    one.meter, one.reading, one.unproven = it.meter, it.reading, unproven
    keep_delivery(it.log_key, one, it.lifetime)
    trim(it.log_key, others)
  end
  for _, one in ipairs(not it.again and others or {}) do
    if is_stale(one) then late[#late + 1] = one.name end
  end
  return late
end
