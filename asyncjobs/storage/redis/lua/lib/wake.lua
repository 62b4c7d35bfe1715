-- wake(queue): puts the queue's marker unless it is paused, and makes the queue known. O(1).
local function wake(queue)
  local flags = redis.call('HGET', K.queues, queue)
  if not flags then
    redis.call('HSET', K.queues, queue, '')
  end
  if flags ~= 'p' then
    redis.call('ZADD', K.wake(queue), 0, '1')
  end
end
