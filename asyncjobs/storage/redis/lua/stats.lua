-- stats: counts of jobs by state, and totals.
-- KEYS: t. ARGV: now. Reply: {now, enqueued, processing, scheduled, retrying, succeeded, failed, cancelled, awaiting, throttled,
--   follow-ups, {total names and values}}. O(queues + workers).
-- @include now
-- @include queue_row
local enqueued, processing = 0, 0
for _, queue in ipairs(redis.call('HKEYS', K.queues)) do
  enqueued = enqueued + queue_length(queue)
end
for _, worker in ipairs(redis.call('ZRANGE', K.workers, 0, -1)) do
  processing = processing + redis.call('SCARD', K.held(worker))
end
return {
  now, enqueued, processing, redis.call('ZCARD', K.scheduled), redis.call('ZCARD', K.retrying),
  redis.call('ZCARD', K.succeeded), redis.call('ZCARD', K.failed), redis.call('ZCARD', K.cancelled),
  redis.call('ZCARD', K.awaiting), redis.call('ZCARD', K.throttled), redis.call('ZCARD', K.follow_ups),
  redis.call('HGETALL', K.stats),
}
