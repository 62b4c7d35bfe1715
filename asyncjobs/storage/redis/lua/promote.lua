-- promote: a scheduled or retrying job is enqueued now.
-- KEYS: t. ARGV: now, id, request. Reply: Requeued. O(log n).
-- @include now
-- @include requests
-- @include unplace
-- @include place
-- @include history
-- @include wake
local job = K.job(A.id)
local row = redis.call('HMGET', job, F.state, F.queue, F.priority, F.requests, F.attempt)
local state = row[1]
if not state or state == STUB then
  return Requeued.MISSING
end
if carried_out(row[4], A.request) then
  return Requeued.REQUEUED
end
if state ~= S.scheduled and state ~= S.retrying then
  return Requeued.WRONG_STATE
end
remember(A.id, row[4], A.request)
unplace(A.id, state)
redis.call('HSET', job, F.state, S.enqueued, F.enqueued, now)
place(A.id, row[2], row[3], now)
add_history(A.id, 'promoted', row[5])
wake(row[2])
return Requeued.REQUEUED
