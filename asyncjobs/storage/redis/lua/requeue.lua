-- requeue: a final job is enqueued again, its failures, recoveries and result forgotten.
-- KEYS: t. ARGV: now, id, request. Reply: Requeued. O(log n).
-- @include now
-- @include requests
-- @include leave_list
-- @include place
-- @include history
-- @include cancel_job
-- @include conclude
local job = K.job(A.id)
local row = redis.call('HMGET', job, F.state, F.queue, F.priority, F.requests, F.attempt, F.ghost_in, F.result, F.batch,
  F.limits, F.unique)
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
local period = row[10] and string.sub(row[10], 1, 1) == 'p'
local holder, overdue = nil, nil
if row[10] and not period then
  holder, overdue = holder_of(string.match(row[10], '^%S+ %S+ (.*)$'))
  if holder and holder ~= A.id then
    return Requeued.NOT_UNIQUE
  end
end
remember(A.id, row[4], A.request)
local in_old_place = row[6] == row[2]
if in_old_place and not (row[9] and not admit(A.id, row[2], row[3], row[9], now)) then
  redis.call('HDEL', job, F.ghost_in)
  redis.call('HINCRBY', K.ghosts, row[2], -1)
  redis.call('HSET', job, F.state, S.enqueued, F.enqueued, now)
  follow.queues[row[2]] = follow.queues[row[2]] or true
elseif not in_old_place and not enter_queue(A.id, row[2] or '', row[3], row[9]) then
  redis.call('HSET', job, F.requests, row[4] or '')
  return redis.error_reply('BROKEN queue ' .. (row[2] or '(none)') .. ' takes no jobs: its key holds something else')
end
redis.call('HSET', job, F.enqueued, now)
leave_list(A.id, state)
if row[10] and not period then
  if overdue then
    cancel_job(overdue, nil, 'expired')
  end
  claim_unique(A.id, row[10])
end
if row[8] then
  reopen_batch(row[8], state, 1)
end
redis.call('HDEL', job, F.failures, F.recoveries, F.deaths, F.result_dropped, F.cancel_requested, F.progress,
  F.progress_message, F.result, F.expires, F.deadline)
if row[7] then
  for piece = 1, PIECES - 1 do
    redis.call('HDEL', job, F.result .. piece)
  end
end
add_history(A.id, 'requeued', row[5])
conclude({})
return Requeued.REQUEUED
