--[[
unnamed: how a send and its message come together where Meta's answer did not name it, put before the scripts that bring them together.

Owns     that a message is of one send, and a send of one message
Never    how long a send waits, or which statuses can name one

The sends of a thread that wait for a name are a hash: their ids, each with the moment before which no status can be of it, and its
product. The messages of a thread that are of no known send are one too: their ids, each with the moment and category of a status.
]]

-- The key of a thread's hash of another noun.
local function beside(thread_key, noun) return (thread_key:gsub('^(gk:{.-}:)thread:', '%1' .. noun .. ':')) end

-- Of some that fit the earliest; one of the very *kind* comes before the others.
local function matching(listed, kind, fits)
  local found, found_at, found_same
  for name, packed in pairs(listed) do
    local at, own = unpack(packed)
    if fits(name, at) then
      local same = own == kind
      local earlier = found and (at < found_at or at == found_at and name < found)
      if not found or (same and not found_same) or (same == found_same and earlier) then
        found, found_at, found_same = name, at, same
      end
    end
  end
  return found
end

-- Book a send that Meta took.
local function book_accepted(record_key, state, spend_key, cell, quote, lifetime)
  redis.call('HSET', record_key, 'state', state, 'spend', spend_key, 'quote', quote)
  book(spend_key, 'p', cell, quote + 0, '1')
  local turn = redis.call('HGET', record_key, 'turn')
  if turn then redis.call('HINCRBY', spend_key, 'a#' .. cell, '1') end
  if turn and (' ' .. turn):sub(-2) == ' 1' then redis.call('HINCRBY', spend_key, 't#' .. cell, '1') end
  book(spend_key, 'o', '', quote + 0, '1')
  outlive(spend_key, lifetime)
end

-- Give a send the name of its message: it waits no longer.
local function name_send(record_key, message_key)
  redis.call('RENAME', record_key, message_key)
  local id = record_key:match('^gk:{.-}:reservation:(.*)$')
  local later, unnamed_key, lapsing_key = spread(redis.call('HMGET', message_key, 'later', 'waits', 'lapses'))
  if later then book_accepted(message_key, unpack(later)) end
  if unnamed_key then
    redis.call('HDEL', unnamed_key, id)
    redis.call('ZREM', lapsing_key, id)
  end
  redis.call('HDEL', message_key, 'later', 'waits', 'lapses')
  redis.call('HSET', message_key, 'named', id)
end
