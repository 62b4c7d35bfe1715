-- requeue: a final job is enqueued again, its failures, recoveries and result forgotten.
-- KEYS: t. ARGV: now, id, request. Reply: Requeued. O(log n).
-- @include now
-- @include requests
-- @include leave_list
-- @include place
-- @include history
-- @include wake
-- @include follow_up
-- @include called_off
local job = K.job(A.id)
local row = redis.call('HMGET', job, F.state, F.queue, F.priority, F.requests, F.attempt, F.ghost_in, F.result, F.batch)
local state = row[1]
if not state or state == STUB then
  return Requeued.MISSING
end
if carried_out(row[4], A.request) then
  return Requeued.REQUEUED
end
if state ~= S.succeeded and state ~= S.failed and state ~= S.cancelled then
  return Requeued.WRONG_STATE
end
if row[8] then
  local batch = redis.call('HGET', K.batch(row[8]), B.state)
  if batch == S.staging or batch == STUB then
    return Requeued.WRONG_STATE
  elseif called_off(row[8]) then
    return Requeued.BATCH_CANCELLED
  end
end
remember(A.id, row[4], A.request)
if row[6] ~= row[2] and not place(A.id, row[2] or '', row[3], now) then
  redis.call('HSET', job, F.requests, row[4] or '')
  return redis.error_reply('BROKEN queue ' .. (row[2] or '(none)') .. ' takes no jobs: its key holds something else')
end
leave_list(A.id, state)
if row[8] then
  reopen_batch(row[8], state, 1)
end
redis.call('HDEL', job, F.failures, F.recoveries, F.deaths, F.result_dropped, F.cancel_requested, F.progress,
  F.progress_message, F.ghost_in, F.result, F.expires)
if row[7] then
  for piece = 1, PIECES - 1 do
    redis.call('HDEL', job, F.result .. piece)
  end
end
if row[6] == row[2] then
  redis.call('HINCRBY', K.ghosts, row[2], -1)
end
redis.call('HSET', job, F.state, S.enqueued, F.enqueued, now)
add_history(A.id, 'requeued', row[5])
wake(row[2])
return Requeued.REQUEUED
