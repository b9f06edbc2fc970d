--[[
cases: which case of a plan holds and what it costs, put before the scripts that pick one.

Owns     that the first case that holds is the one, and what a meter reads
Never    what a case, a price or a meter is for

A list of cases is flat: the fields of gatekeeper.ledger.shapes:Case, again and again.
]]

-- The first case from *first* on that holds: its place, its terms, and the clock that made it hold. *open* says whether a clock is open.
local function pick(cases, first, open, certain)
  for place = first, #cases / 4 do
    local i = 4 * place - 3
    local needs, others, unconfirmed, terms = cases[i], cases[i + 1], cases[i + 2], cases[i + 3]
    if not (certain and unconfirmed) then
      if needs == '' then return place, terms end
      if open(needs) then return place, terms, needs end
      if others ~= '' then
        for _, x in ipairs(rows(others)) do
          if open(x) then return place, terms, x end
        end
      end
    end
  end
  return 0
end

-- What a meter reads: what was settled, by us or before us, and what is reserved; and what Meta told that it reads. With *settled* only
-- what was settled counts, and is kept there.
local function read(meter, settled)
  if not settled then
    local counts = redis.call('HMGET', KEYS[meter], 'settled', 'opening', 'reserved', 'told')
    return number(counts, 1) + number(counts, 2) + number(counts, 3), number(counts, 4)
  end
  if not settled[meter] then
    local counts = redis.call('HMGET', KEYS[meter], 'settled', 'opening')
    settled[meter] = number(counts, 1) + number(counts, 2)
  end
  return settled[meter], 0
end

-- What a case costs, what its meter reads, and what Meta told that it reads; and the rest of its terms.
local function priced(terms, settled)
  local price, steps, meter, opens, length, cell = unpack(terms)
  local reading, told = 0, 0
  if meter > 0 then reading, told = read(meter, settled) end
  if steps ~= '' then
    steps = rows(steps)
    for i = #steps - 1, 1, -2 do
      if reading < steps[i] then price = steps[i + 1] end
    end
  end
  return price, reading, told, meter, opens, length, cell
end
