-- fail_job(id, why, counts): a job whose record makes no sense becomes failed, wherever it was in the lists. `counts`:
-- its batch counts it, too. To be followed by conclude. O(log n).
-- @include follow_up
local function fail_job(id, why, counts)
  local job = K.job(id)
  local row = redis.call('HMGET', job, F.attempt, F.inboxes, F.batch, F.continued)
  for _, list in ipairs({ K.awaiting, K.scheduled, K.retrying, K.succeeded, K.cancelled, K.expire }) do
    redis.pcall('ZREM', list, id)
  end
  redis.call('HSET', job, F.state, S.failed)
  redis.call('HDEL', job, F.cancel_requested, F.expires)
  redis.call('ZADD', K.failed, now, id)
  add_history(id, 'failed', row[1], nil, cmsgpack.pack({ 'BrokenRecord', why, '' }))
  total_of('failed')
  if row[2] then
    tell(job, id, row[2])
  end
  ended(id, S.failed, counts and row[3], row[4])
end
