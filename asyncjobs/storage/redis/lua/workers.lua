-- workers: all registered workers.
-- KEYS: t. ARGV: none. Reply: five values each: id, info, deadline, leases, 1 if it is being reaped. O(workers).
local reply = {}
local rows = redis.call('ZRANGE', K.workers, 0, -1, 'WITHSCORES')
for at = 1, #rows, 2 do
  local row = redis.call('HMGET', K.worker(rows[at]), W.info, W.reaping)
  local n = #reply
  reply[n + 1], reply[n + 2], reply[n + 3] = rows[at], row[1] or '', rows[at + 1]
  reply[n + 4], reply[n + 5] = redis.call('SCARD', K.held(rows[at])), row[2] and 1 or 0
end
return reply
