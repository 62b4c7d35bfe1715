-- unplace(id, state, queue, priority, limits, throttled_by, ghost_in), take_out(id, queue): a waiting job is taken out of where
-- it waits; an id out of a queue's lists (whether it was there). O(log n); take_out: O(ids in the queue).
-- Unplaced, an id in a list is left there as a ghost, which exchange skips; true says that it was. But a record names one
-- queue that has a ghost of the job: where it does (`ghost_in`: the job was moved lately), there is no second one.
-- @include follow_up
local function take_out(id, queue)
  for _, ids in ipairs({ K.suspects(queue), K.queue(queue) }) do
    if redis.pcall('LREM', ids, 1, id) == 1 then
      return true
    end
  end
  return false
end

local function unplace(id, state, queue, priority, limits, throttled_by, ghost_in)
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
    elseif ghost_in then
      take_out(id, queue)
      return false
    end
    redis.call('HINCRBY', K.ghosts, queue, 1)
    return true
  end
  return false
end
