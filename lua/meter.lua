--[[
meter: let a meter count in what it has not seen itself: what Meta tells of it, or what was used before us.

Owns     that what Meta tells is the least that a meter reads, and never goes back
Never    what is counted

KEYS[1]  meter     HASH   gk:{P}:meter:<name>:<owner>:<month>
ARGV[1]  source    string told or opening
ARGV[2]  units     int    in all, by that source
ARGV[3]  lifetime  int    milliseconds
Returns  int       what the meter reads now
Writes   the source's own field
Expires  the meter
]]

local meter_key = KEYS[1]
local source, units, lifetime = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])

local counts = redis.call('HMGET', meter_key, 'settled', 'opening', 'told')
local settled, opening, told = number(counts, 1), number(counts, 2), number(counts, 3)
if source == 'told' then
  units = math.max(units, told)
  opening = math.max(opening, units - settled)
  told = units
else
  opening = math.max(units, told - settled)
end

-- Take it all.
redis.call('HSET', meter_key, 'opening', opening, 'told', told)
keep(meter_key, lifetime)
return settled + opening
