-- cancel_job(id, why, event), end_cancelled(id, event, why): a waiting job becomes cancelled, a running one's worker is told, one
-- that has ended is left: a Cancelled code. The second one is for a job that waits nowhere any more. `why`: a packed
-- error for the history, or nil; `event`: what that calls it, "cancelled" if nil. To be followed by conclude.
-- O(log n + parents, bounded); O(ids in its queue) for one that was moved, and whose id still lies where it was.
-- @include unplace
-- @include follow_up
local function end_cancelled(id, event, why)
  local job = K.job(id)
  local row = redis.pcall('HMGET', job, F.attempt, F.inboxes, F.batch, F.continued, F.unique)
  redis.call('HSET', job, F.state, S.cancelled)
  redis.call('ZADD', K.cancelled, now, id)
  add_history(id, event, row[1], nil, why)
  total_of('cancelled')
  if row[2] then
    tell(job, id, row[2])
  end
  if row[5] then
    release_unique(id, row[5])
  end
  ended(id, S.cancelled, row[3], row[4])
end

local function cancel_job(id, why, event)
  local job = K.job(id)
  local row = redis.pcall('HMGET', job, F.state, F.queue, F.priority, F.worker, F.parents, F.limits,
    F.throttled_by, F.ghost_in)
  local state = row[1]
  if not state or state == STUB then
    return Cancelled.MISSING
  end
  if state == S.succeeded or state == S.failed or state == S.cancelled then
    return Cancelled.FINAL
  end
  if state == S.processing then
    redis.call('HSET', job, F.cancel_requested, '1')
    redis.call('SADD', K.cancels(row[4]), id)
    redis.call('RPUSH', K.control(row[4]), '1')
    redis.call('PEXPIRE', K.control(row[4]), STUB_MS)
    redis.call('PEXPIRE', K.cancels(row[4]), 86400000)
    return Cancelled.REQUESTED
  end
  if unplace(id, state, row[2], row[3], row[6], row[7], row[8]) then
    redis.call('HSET', job, F.ghost_in, row[2])
  end
  if row[5] and (state == S.awaiting or state == S.staging) then
    detach_rest(id, row[5], detach(id, row[5], 1))
  end
  end_cancelled(id, event or 'cancelled', why)
  return Cancelled.CANCELLED
end
