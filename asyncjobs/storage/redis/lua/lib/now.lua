-- now: the time in ms: Redis' own, or the caller's where a test injects one.
local now
if A.now == '' then
  local clock = redis.call('TIME')
  now = clock[1] * 1000 + math.floor(clock[2] / 1000)
else
  now = tonumber(A.now)
end
