--[[
access: let a send through when its recipient's customer service window is open.

Owns     one question to Redis, asked over a raw socket as nginx's own kept-alive connections allow
Never    reserves, prices, counts or explains anything
]]

local var = ngx.var

ngx.req.read_body()
local body = ngx.req.get_body_data() or ''
local to = body:match('"to":%s*"(%d+)"')
if not to then return ngx.exit(ngx.HTTP_BAD_REQUEST) end

local redis = ngx.socket.tcp()
redis:settimeout(1000)
local ok, failure = redis:connect('unix:' .. var.redis)
if not ok then
  ngx.log(ngx.ERR, 'redis: ', failure)
  return ngx.exit(ngx.HTTP_SERVICE_UNAVAILABLE)
end

local key, clock = var.thread .. to, var.clock
redis:send('*3\r\n$4\r\nHGET\r\n$' .. #key .. '\r\n' .. key .. '\r\n$' .. #clock .. '\r\n' .. clock .. '\r\n')
local size = tonumber((redis:receive('*l') or ''):match('^$(%-?%d+)'))
local open = size and size > 0 and tonumber((redis:receive(size)))
if size and size >= 0 then redis:receive(2) end
redis:setkeepalive(10000, 64)

if not open or open <= ngx.now() * 1000 then return ngx.exit(ngx.HTTP_FORBIDDEN) end
