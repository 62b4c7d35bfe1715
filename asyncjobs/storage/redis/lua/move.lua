-- move: a job that isn't running becomes one of another queue.
-- KEYS: t. ARGV: now, id, queue. Reply: Moved. O(log n).
-- @include now
-- @include unplace
-- @include conclude
redis.call('HDEL', K.meta, '-')
local job = K.job(A.id)
local row = redis.call('HMGET', job, F.state, F.queue, F.priority, F.limits, F.throttled_by, F.ghost_in)
local state = row[1]
if not state or state == STUB then
  return Moved.MISSING
elseif state == S.processing then
  return Moved.RUNNING
elseif row[2] == A.queue then
  return Moved.MOVED
end
if state ~= S.enqueued and state ~= S.throttled then
  redis.call('HSET', job, F.queue, A.queue)
  redis.call('HSETNX', K.queues, A.queue, '')
  return Moved.MOVED
end
-- Where it waits by its id alone, that stays there as a ghost.
local ghost = unplace(A.id, state, row[2], row[3], row[4], row[5]) and row[2] or row[6]
redis.call('HSET', job, F.queue, A.queue)
if not enter_queue(A.id, A.queue, row[3], row[4]) then
  fail_broken(A.id)
end
if ghost then
  redis.call('HSET', job, F.ghost_in, ghost)
end
conclude({})
return Moved.MOVED
