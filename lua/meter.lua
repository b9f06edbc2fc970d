--[[
meter: raise a meter to what Meta says that it reads at least.

Owns     that a meter never goes back, and remembers what Meta said of it
Never    what is counted

KEYS[1]  meter     HASH   gk:{P}:meter:<name>:<owner>:<month>
ARGV[1]  floor     int    units
ARGV[2]  lifetime  int    milliseconds
Returns  int       1 when it is news
Writes   what is settled, and what Meta told
Expires  the meter
]]

local meter_key = KEYS[1]
local floor, lifetime = tonumber(ARGV[1]), tonumber(ARGV[2])

local counts = redis.call('HMGET', meter_key, 'settled', 'told')
local settled, told = tonumber(counts[1] or 0), tonumber(counts[2] or 0)

-- Take it all.
redis.call('HSET', meter_key, 'settled', math.max(settled, floor), 'told', math.max(told, floor))
keep(meter_key, lifetime)
return floor > told and 1 or 0
