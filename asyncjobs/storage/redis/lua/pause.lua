-- pause: stops or resumes the granting of a queue's jobs.
-- KEYS: t. ARGV: queue, paused ("1" or "0"). Reply: 1. O(1).
-- Begins with a removing command, so that a full Redis can still be told to go on.
-- @include wake
redis.call('HDEL', K.meta, '-')
if A.paused == '1' then
  redis.call('HSET', K.queues, A.queue, 'p')
  redis.call('DEL', K.wake(A.queue))
elseif redis.call('HEXISTS', K.queues, A.queue) == 1 then
  redis.call('HSET', K.queues, A.queue, '')
  if redis.call('EXISTS', K.queue(A.queue), K.priority(A.queue), K.suspects(A.queue)) > 0 then
    wake(A.queue)
  end
end
return 1
