--[[
texts: how texts that wait for their recipient are listed, put before each script behind the guards.

Owns     where the list of a thread is kept, and what is left of a text that waits no longer
Never    why it waits, or what became of it

A list is a hash: `texts`, the keys of those that wait, in their order; `asking` and `lease`, who asks the recipient to answer and until
when; `named`, what Meta calls the recipient; `proof`, which credentials Meta took when it was asked.
]]

-- The key of the list of a thread.
local function list_of(thread_key) return (thread_key:gsub('^(gk:{.-}:)thread:', '%1waiting:')) end

-- Those that wait in a list.
local function listed(list) return list.texts and unpack(list.texts) or {} end

-- Keep what still waits in a list, and look at it again at *due*.
local function relist(waiting_key, holding_key, texts, due)
  if #texts > 0 then
    redis.call('HSET', waiting_key, 'texts', pack(texts))
    redis.call('ZADD', holding_key, due, waiting_key)
    keep(holding_key, redis.call('PTTL', waiting_key))
  else
    redis.call('HDEL', waiting_key, 'texts', 'named', 'proof')
    redis.call('ZREM', holding_key, waiting_key)
  end
end

-- Forget what a text says and by which right it was to be sent; what became of it is remembered for a while.
local function let_go(text_key, state, lifetime)
  redis.call('HSET', text_key, 'state', state)
  redis.call('HDEL', text_key, 'request', 'secret', 'lease')
  redis.call('PEXPIRE', text_key, lifetime)
end
