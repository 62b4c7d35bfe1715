-- place(id, queue, priority, at, suspect): puts an id at the tail of its queue, among its priority, or behind the suspects;
-- false where that can't be, for the queue's key holds something else or the priority is none. To be called before the job's state is
-- written, for nothing is rolled back. O(1), O(log n).
local function score_of(priority, at)
  return string.format('%.0f', at - priority * PRIORITY_STEP)
end

local function place(id, queue, priority, at, suspect)
  local placed
  if suspect then
    placed = redis.pcall('RPUSH', K.suspects(queue), id)
  elseif not priority or priority == '0' then
    placed = redis.pcall('RPUSH', K.queue(queue), id)
  elseif tonumber(priority) then
    placed = redis.pcall('ZADD', K.priority(queue), score_of(priority, at), id)
  end
  return type(placed) == 'number'
end
