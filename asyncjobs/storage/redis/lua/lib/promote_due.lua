-- promote_due(key, state, touched, dropped): moves due jobs to their queues, a bounded number; the next due time and
-- whether some due ones are left. One that no queue takes becomes failed. The queues' names go into `touched`, ids without a job that waits into `dropped`. O(moved).
-- @include due
-- @include place
local function promote_due(key, state, touched, dropped)
  local head = due_head(key)
  if not head or head > now then
    return head, false
  end
  local ids = redis.call('ZRANGEBYSCORE', key, '-inf', now, 'LIMIT', 0, PROMOTE_LIMIT)
  for _, id in ipairs(ids) do
    local job = redis.pcall('HMGET', K.job(id), F.state, F.queue, F.priority, F.limits)
    if job[1] == state and job[2] and job[4] and enter_queue(id, job[2], job[3], job[4]) then
      touched[job[2]] = touched[job[2]] or true
    elseif job[1] == state and job[2] and not job[4] and place(id, job[2], job[3], now) then
      redis.call('HSET', K.job(id), F.state, S.enqueued, F.enqueued, now)
      touched[job[2]] = touched[job[2]] or true
    else
      dropped[#dropped + 1] = id
      if job[1] == state then
        fail_broken(id)
      end
    end
  end
  redis.call('ZREMRANGEBYRANK', key, 0, #ids - 1)
  head = due_head(key)
  return head, head and head <= now or false
end
