--[[
note: remember what Meta said of a message that is known, for the status that will settle it.

Owns     that only a message that is still known is written to
Never    what the note says

KEYS[1]  message  HASH    gk:{P}:message:<wamid>
ARGV[1]  note     msgpack gatekeeper.core.word:Word
Returns  int      1 when the message is known
Writes   the note
Expires  as the message does
]]

local message_key = KEYS[1]
local note = ARGV[1]

if redis.call('EXISTS', message_key) == 0 then return 0 end

-- Take it all.
redis.call('HSET', message_key, 'note', note)
return 1
