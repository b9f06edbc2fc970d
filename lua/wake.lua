--[[
wake: look at once at what waits for a user who may have answered.

Owns     that a list is found under each of its user's names
Never    what an answer is

KEYS[1]  holding  ZSET  gk:{P}:holding
KEYS[2]  thread   HASH  gk:{P}:thread:<phone_number_id>:<name>
ARGV[1]  now      int   Unix milliseconds
Returns  int      how many lists are due
Writes   only when something waits
Expires  as it did
]]

local holding_key, thread_key = KEYS[1], KEYS[2]
local now = tonumber(ARGV[1])

local due, count = {}, 0
for _, waiting_key in ipairs({list_of(thread_key), list_of((thread(thread_key)))}) do
  local at = tonumber(redis.call('ZSCORE', holding_key, waiting_key) or nil)
  if at and not due[waiting_key] then
    due[waiting_key] = math.min(at, now)
    count = count + 1
  end
end

-- Take it all.
for waiting_key, at in pairs(due) do redis.call('ZADD', holding_key, at, waiting_key) end
return count
