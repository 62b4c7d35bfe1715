-- heartbeat: renews a worker's lease and tells it what it must know.
-- KEYS: t. ARGV: now, worker, held (leases it thinks it has), info or "".
-- Reply: {now, cancelled ids, false or {id, exchange, …} of its leases, expired, command, 1 if there are follow-ups}, or error GONE.
-- O(its cancels), and O(its leases) where the number differs.
-- @include now
-- @include alive
redis.call('DEL', K.control(A.worker))
local worker = K.worker(A.worker)
local row = redis.call('HMGET', worker, W.lease, W.reaping, W.command)
if not row[1] or row[2] then
  return redis.error_reply('GONE the worker is not registered')
end
redis.call('ZADD', K.workers, now + row[1], A.worker)
if A.info ~= '' then
  redis.call('HSET', worker, W.info, A.info)
end
local hold = mark_alive(tonumber(row[1]))
local held = false
if redis.call('SCARD', K.held(A.worker)) ~= tonumber(A.held) then
  held = {}
  for _, id in ipairs(redis.call('SMEMBERS', K.held(A.worker))) do
    held[#held + 1] = id
    held[#held + 1] = redis.call('HGET', K.job(id), F.exchange) or '0'
  end
end
local expired = 0
if now >= hold and #redis.call('ZRANGEBYSCORE', K.workers, '-inf', now, 'LIMIT', 0, 1) > 0 then
  expired = 1
end
return { now, redis.call('SMEMBERS', K.cancels(A.worker)), held, expired, row[3] or '',
  redis.call('EXISTS', K.follow_ups) }
