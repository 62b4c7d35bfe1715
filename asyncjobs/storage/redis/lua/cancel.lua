-- cancel: a waiting job becomes cancelled; a running one's worker is told.
-- KEYS: t. ARGV: now, id, request. Reply: Cancelled. O(log n).
-- @include now
-- @include requests
-- @include unplace
-- @include history
-- @include bump
-- @include tell
redis.call('HDEL', K.meta, '-')
local job = K.job(A.id)
local row = redis.call('HMGET', job, F.state, F.queue, F.priority, F.requests, F.attempt, F.inboxes, F.worker, F.cancel_requested)
local state = row[1]
if not state or state == STUB then
  return Cancelled.MISSING
end
if carried_out(row[4], A.request) then
  return state == S.processing and row[8] and Cancelled.REQUESTED or Cancelled.CANCELLED
end
if state == S.succeeded or state == S.failed or state == S.cancelled then
  return Cancelled.FINAL
end
remember(A.id, row[4], A.request)
if state == S.processing then
  redis.call('HSET', job, F.cancel_requested, '1')
  redis.call('SADD', K.cancels(row[7]), A.id)
  redis.call('RPUSH', K.control(row[7]), '1')
  redis.call('PEXPIRE', K.control(row[7]), STUB_MS)
  redis.call('PEXPIRE', K.cancels(row[7]), 86400000)
  return Cancelled.REQUESTED
end
if unplace(A.id, state, row[2], row[3]) then
  redis.call('HSET', job, F.ghost_in, row[2])
end
redis.call('HSET', job, F.state, S.cancelled)
redis.call('ZADD', K.cancelled, now, A.id)
add_history(A.id, 'cancelled', row[5])
bump({ cancelled = 1 })
if row[6] then
  tell(A.id, row[6])
end
return Cancelled.CANCELLED
