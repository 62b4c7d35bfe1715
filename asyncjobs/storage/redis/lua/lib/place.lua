-- place(id, queue, priority, at): puts an id at the tail of its queue, or among its priority. O(1), O(log n).
local function score_of(priority, at)
  return string.format('%.0f', at - priority * PRIORITY_STEP)
end

local function place(id, queue, priority, at)
  if priority and priority ~= '0' then
    redis.call('ZADD', K.priority(queue), score_of(priority, at), id)
  else
    redis.call('RPUSH', K.queue(queue), id)
  end
end
