--[[
bill: how a message is put on a day's bill and taken off it, put before the scripts that do.

Owns     the fields of a bill: `kind#cell` counts messages, `kind$cell` sums their micro-units, `kind?cell` counts unknown prices
Never    what a kind or a cell is
]]

-- Book one message of *cost* micro-units on a day's bill, or with '-1' take it off again.
local function book(spend_key, kind, cell, cost, count)
  redis.call('HINCRBY', spend_key, kind .. '#' .. cell, count)
  if cost == UNKNOWN then
    redis.call('HINCRBY', spend_key, kind .. '?' .. cell, count)
  elseif cost > 0 then
    redis.call('HINCRBY', spend_key, kind .. '$' .. cell, count * cost)
  end
end
