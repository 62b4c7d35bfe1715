-- skip(id, queue, row): an id was found in a queue whose job isn't enqueued there. Counts the ghost off, or true
-- if nobody can say why it was there. `row` begins with the job's state. O(1).
local function skip(id, queue, row)
  if row[1] == S.enqueued and redis.call('HGET', K.job(id), F.ghost_in) == queue then
    -- It was moved to another queue.
    redis.call('HDEL', K.job(id), F.ghost_in)
    redis.call('HINCRBY', K.ghosts, queue, -1)
    return false
  elseif row[1] == S.enqueued or (row[1] and row[1] ~= STUB and not tonumber(row[1])) then
    -- Its own record says another queue, or nothing that makes sense.
    return true
  end
  if row[1] and row[1] ~= STUB then
    if redis.call('HGET', K.job(id), F.ghost_in) == queue then
      redis.call('HDEL', K.job(id), F.ghost_in)
      redis.call('HINCRBY', K.ghosts, queue, -1)
    end
    return false
  end
  if tonumber(redis.call('HGET', K.ghosts, queue) or 0) > 0 then
    redis.call('HINCRBY', K.ghosts, queue, -1)
    return false
  end
  return true
end

local function forget_ghosts(queue)
  if redis.call('EXISTS', K.queue(queue), K.suspects(queue)) == 0 then
    redis.call('HDEL', K.ghosts, queue)
  end
end
