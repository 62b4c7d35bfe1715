-- unplace(id, state, queue, priority, limits, throttled_by): takes a waiting job out of where it waits. O(log n).
-- An id in a list is left there as a ghost, which exchange skips; true says that it was.
-- @include follow_up
local function unplace(id, state, queue, priority, limits, throttled_by)
  if state == S.scheduled then
    redis.call('ZREM', K.scheduled, id)
  elseif state == S.awaiting then
    redis.call('ZREM', K.awaiting, id)
  elseif state == S.retrying then
    redis.call('ZREM', K.retrying, id)
  elseif state == S.throttled then
    left_waiters(id, queue or '', throttled_by)
  elseif state == S.enqueued then
    if limits then
      left_queue(limits, queue)
    end
    if priority and priority ~= '0' and redis.call('ZREM', K.priority(queue), id) == 1 then
      return false
    end
    redis.call('HINCRBY', K.ghosts, queue, 1)
    return true
  end
  return false
end
