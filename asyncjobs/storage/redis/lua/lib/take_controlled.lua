-- take_controlled(…), drop_enqueued(…), end_controlled(…), unmake(id), open_windows(): of jobs under limits, with a unique
-- key, or that expire: whether one whose id was taken out of its queue may be granted (else it is throttled, or cancelled);
-- one isn't granted, but cancelled; one that was processing isn't any more (`queue`: it is back there); one that was just
-- made isn't to be there; and limits whose window opens let jobs in. O(limits of a job), O(windows).
-- @include cancel_job
local function drop_enqueued(id, queue, event)
  local limits = redis.call('HGET', K.job(id), F.limits)
  if limits then
    left_queue(limits, queue)
  end
  end_cancelled(id, event)
end

local function take_controlled(id, queue, enqueued, suspect)
  local row = redis.call('HMGET', K.job(id), F.limits, F.unique, F.deadline, F.priority)
  if row[3] and now >= tonumber(row[3]) then
    drop_enqueued(id, queue, 'expired')
    return false
  elseif row[1] and not acquire(id, queue, row[4], row[1], tonumber(enqueued) or now, suspect) then
    return false
  end
  if row[2] and string.sub(row[2], 1, 1) == 's' then
    release_unique(id, row[2])
  end
  return true
end

local function end_controlled(id, queue, is_final)
  local row = redis.call('HMGET', K.job(id), F.limits, F.unique)
  if row[1] then
    let_go(row[1], queue)
  end
  if row[2] and is_final then
    release_unique(id, row[2])
  end
end

-- One that was made in this script isn't to be there.
local function unmake(id)
  local row = redis.call('HMGET', K.job(id), F.limits, F.unique, F.queue)
  if row[1] then
    left_queue(row[1], row[3])
  end
  if row[2] then
    disown_unique(id, row[2])
  end
  redis.call('UNLINK', K.job(id))
end

local function open_windows()
  local ids = redis.call('ZRANGEBYSCORE', K.limit_due, '-inf', now, 'LIMIT', 0, WINDOWS_LIMIT)
  for _, id in ipairs(ids) do
    redis.call('ZREM', K.limit_due, id)
    touch(entry_of(id))
  end
  return #ids == WINDOWS_LIMIT
end
