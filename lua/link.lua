--[[
link: let one name of a user lead to another, and make one thread of what was known under both.

Owns     that the names of one user share one thread, and that a name which changes hands takes nothing of the other user along
Never    which names belong together, or how exactly a name tells a user

KEYS[1]  name      HASH   gk:{P}:thread:<phone_number_id>:<name>
KEYS[2]  thread    HASH   gk:{P}:thread:<phone_number_id>:<a name that is no less exact>
ARGV[1]  now       int    Unix milliseconds
ARGV[2]  said      int    Unix milliseconds, when both were said to be one user
ARGV[3]  exact     int    how exactly the second name tells a user: equally exact ones are of two users
ARGV[4]  only      string the clock that goes along by itself, without a link; empty: all, and the link
ARGV[5]  lifetime  int    milliseconds that a link is kept
Returns  int       1 when it is news
Writes   links, and what was known under a name into the thread that it leads to
Expires  every key that it writes
]]

local name_key, thread_key = KEYS[1], KEYS[2]
local now, said, exact, only, lifetime = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3]), ARGV[4], tonumber(ARGV[5])

local from_key, from, bound = thread(name_key)
local to_key, to, reached = thread(thread_key)
local leads, leads_exactly, moves = thread_key, exact, false
if only == '' and from_key ~= name_key and from_key ~= to_key then  -- the name has led to another thread so far
  reached = reached or exact
  if bound == reached then
    moves = said > tonumber(redis.call('HGET', name_key, 'said') or 0)
    if not moves then return 0 end
  elseif bound > reached then  -- the better known is what the name leads to already, and the other name joins it
    from_key, from, to_key, to, leads, leads_exactly = to_key, to, from_key, from, from_key, bound
  end
end

-- Of two threads the one that comes first by the scores; the second when they are equal.
local function first(scores, a, b)
  for _, score in ipairs(scores) do
    local of_a, of_b = score(a), score(b)
    if of_a ~= of_b then return of_a > of_b and a or b end
  end
  return b
end

-- Clock *x* of two threads, as if all had been said of one.
local function merged(x, a, b)
  local function get(field) return function(c) return number(c, x .. field) end end
  local ends, since, assumes, told, told_at = get(''), get('<'), get('?'), get('='), get('@')
  local denied, used = first({get('!')}, a, b)[x .. '!'], first({get('*')}, a, b)[x .. '*']
  local function counts(c) return since(c) > tonumber(denied or 0) and since(c) > tonumber(used or 0) and ends(c) > now and 1 or 0 end
  local function word(c) return told_at(c) > tonumber(denied or 0) and told(c) > 0 and told_at(c) or 0 end
  local function by_word(c) return counts(c) == 1 and told(c) == ends(c) and word(c) or 0 end
  local function lives(c) return assumes(c) > now and 1 or 0 end
  local function on_word(c) return assumes(c) == told(c) and word(c) or 0 end
  local function made_first(c) return lives(c) == 1 and -assumes(c) or assumes(c) end

  local open, speaks = first({counts, by_word, ends, since}, a, b), first({told_at, told}, a, b)
  local found = {['!'] = denied, ['*'] = used, ['@'] = speaks[x .. '@'], [''] = open[x], ['<'] = open[x .. '<'], ['#'] = open[x .. '#'],
    ['~'] = open[x .. '~'], ['%'] = open[x .. '%']}
  if word(speaks) > 0 then found['='] = speaks[x .. '='] end
  if counts(open) == 1 and word(speaks) >= by_word(open) and ends(open) > word(speaks) and told(speaks) > since(open) then
    found[''] = found['='] or found['']
  end
  -- What is open already was not opened by the other thread's send.
  local opens = counts(open) == 1 and open or first({lives, on_word, made_first}, a, b)
  found['?'], found['&'] = opens[x .. '?'], opens[x .. '&']
  return found
end

local into, known = {}, {from = {}, to = {}}
for side, clocks in pairs({from = from, to = to}) do
  for field in pairs(clocks) do known[side][field:match('^[%w:_]+')] = true end
end
for x in pairs(known.from) do
  if not moves and from_key ~= to_key and (only == '' or only == x) then
    local found = known.to[x] and merged(x, from, to)
    for _, sign in ipairs({'', '<', '#', '~', '%', '!', '*', '?', '&', '=', '@'}) do
      local field = x .. sign
      local value = found and found[sign] or not found and from[field] or false
      if value ~= (to[field] or false) then into[field] = value end
    end
  end
end

-- Take it all.
for field, value in pairs(into) do
  if value then redis.call('HSET', to_key, field, value) else redis.call('HDEL', to_key, field) end
end
if next(into) then keep(to_key, redis.call('PTTL', from_key)) end
if only == '' and not moves and from_key ~= to_key then
  local from_log, to_log = deliveries_of(from_key), deliveries_of(to_key)
  local left = math.max(redis.call('PTTL', from_log), redis.call('PTTL', to_log))
  for _, one in ipairs(deliveries(from_log)) do keep_delivery(to_log, one, left) end
  redis.call('DEL', from_log)
end
if only ~= '' then return next(into) and 1 or 0 end

lifetime = math.max(lifetime, redis.call('PTTL', to_key))  -- a thread is found under all its names as long as it lasts
local leading = from_key ~= to_key and (moves and name_key or from_key)
if leading then
  redis.call('DEL', leading)
  redis.call('HSET', leading, 'link', leads, 'exact', leads_exactly, 'said', said)
end
for _, key in ipairs({leading or name_key, name_key, thread_key}) do
  if key ~= to_key then keep(key, lifetime) end
end
if name_key ~= to_key and said > tonumber(redis.call('HGET', name_key, 'said') or 0) then
  redis.call('HSET', name_key, 'said', said)
end
return leading and 1 or 0
