-- promote: a scheduled or retrying job is enqueued now.
-- KEYS: t. ARGV: now, id, request. Reply: Requeued. O(log n).
-- @include now
-- @include requests
-- @include unplace
-- @include place
-- @include history
-- @include conclude
local job = K.job(A.id)
local row = redis.call('HMGET', job, F.state, F.queue, F.priority, F.requests, F.attempt, F.limits)
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
if not enter_queue(A.id, row[2] or '', row[3], row[6]) then
  redis.call('HSET', job, F.requests, row[4] or '')
  return redis.error_reply('BROKEN queue ' .. (row[2] or '(none)') .. ' takes no jobs: its key holds something else')
end
unplace(A.id, state)
add_history(A.id, 'promoted', row[5])
conclude({})
return Requeued.REQUEUED
