-- leave_list(id, state): takes a job out of its list of final jobs. O(log n).
local function leave_list(id, state)
  if state == S.succeeded then
    redis.call('ZREM', K.succeeded, id)
  elseif state == S.failed then
    redis.call('ZREM', K.failed, id)
  elseif state == S.cancelled then
    redis.call('ZREM', K.cancelled, id)
  end
  redis.call('ZREM', K.expire, id)
end
