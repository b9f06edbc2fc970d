--[[
link: make one name of a user stand for another, and merge what was known under both.

Owns     that two names of one user share one thread, by the later of each clock
Never    which names belong together

KEYS[1]  name      HASH   gk:{P}:thread:<phone_number_id>:<the other name>
KEYS[2]  thread    HASH   gk:{P}:thread:<phone_number_id>:<recipient>
ARGV[1]  lifetime  int    milliseconds that the link is kept
Returns  int       1 when the link is new
Writes   the link, and into the thread what the name held
Expires  every key that it writes
]]

local name_key, thread_key = KEYS[1], KEYS[2]
local lifetime = tonumber(ARGV[1])

local held = fields(name_key)
local clocks
thread_key, clocks = thread(thread_key)
if thread_key == name_key then return 0 end

-- Take it all.
if held.link then
  redis.call('HSET', name_key, 'link', thread_key)
  redis.call('PEXPIRE', name_key, lifetime)
  return held.link == thread_key and 0 or 1
end
local spare = redis.call('PTTL', name_key)
for field, value in pairs(held) do
  local last = field:sub(-1)
  if last ~= '&' and tonumber(value) > number(clocks, field) then
    redis.call('HSET', thread_key, field, value)
    if last == '?' then redis.call('HSET', thread_key, field:sub(1, -2) .. '&', held[field:sub(1, -2) .. '&'] or '') end
    keep(thread_key, spare)
  end
end
redis.call('DEL', name_key)
redis.call('HSET', name_key, 'link', thread_key)
redis.call('PEXPIRE', name_key, lifetime)
return 1
