-- mend_queue: a queue that has jobs is known, and counts the ids that are left in it for nothing; it has a marker
-- unless it is paused.
-- KEYS: t. ARGV: apply ("" = only say what would be done), queue, said, found (how many such ids it counts and has; "" for
-- others), marker ("1": look at that).
-- Reply: what is done, "" if nothing is wrong. O(1).
-- @include repairs
-- @include wake
local queue = A.queue
local has_jobs = redis.call('EXISTS', K.queue(queue), K.priority(queue)) > 0
if (has_jobs or redis.call('EXISTS', K.suspects(queue)) > 0) and redis.call('HEXISTS', K.queues, queue) == 0 then
  to_mend('it is among the known queues again', function()
    wake(queue)
  end)
end
if A.found ~= '' and A.said ~= A.found and (redis.call('HGET', K.ghosts, queue) or '0') == A.said then
  to_mend('it counts ' .. A.found .. ' ids that are left in it for nothing', function()
    if A.found == '0' then
      redis.call('HDEL', K.ghosts, queue)
    else
      redis.call('HSET', K.ghosts, queue, A.found)
    end
  end)
end
if A.marker ~= '' and has_jobs and redis.call('HGET', K.queues, queue) == '' and redis.call('EXISTS', K.wake(queue)) == 0 then
  to_mend('it has a marker again', function()
    wake(queue)
  end)
end
return mended()
