-- move: a job that isn't running becomes one of another queue: at its tail if it is enqueued, among its suspects if it is one.
-- KEYS: t. ARGV: now, id, queue. Reply: Moved. O(log n + suspects of its queue); O(ids in the queue) for one that comes back
-- to where its id still lies, or is moved on before that has been skipped.
-- @include now
-- @include unplace
-- @include conclude
redis.call('HDEL', K.meta, '-')
local job = K.job(A.id)
local row = redis.call('HMGET', job, F.state, F.queue, F.priority, F.limits, F.throttled_by, F.ghost_in)
local state, queue, ghost_in = row[1], row[2] or '', row[6]
if not state or state == STUB then
  return Moved.MISSING
elseif state == S.processing then
  return Moved.RUNNING
elseif queue == A.queue then
  return Moved.MOVED
end
if ghost_in == A.queue then
  -- It comes back as one that is new there: its old place isn't its own any more, and would be the better one.
  if take_out(A.id, ghost_in) then
    redis.call('HINCRBY', K.ghosts, ghost_in, -1)
  end
  redis.call('HDEL', job, F.ghost_in)
  ghost_in = false
end
redis.call('HSETNX', K.queues, A.queue, '')
if state ~= S.enqueued and state ~= S.throttled then
  redis.call('HSET', job, F.queue, A.queue)
  return Moved.MOVED
end
-- A recovered job that may be what its workers died of stays under suspicion wherever it goes.
local suspect = state == S.throttled and string.sub(row[5] or '', 1, 1) == 's'
if state == S.enqueued and redis.pcall('LREM', K.suspects(queue), 1, A.id) == 1 then
  suspect = true
  if row[4] then
    left_queue(row[4], queue)
  end
elseif unplace(A.id, state, queue, row[3], row[4], row[5], ghost_in) then
  redis.call('HSET', job, F.ghost_in, queue)
end
redis.call('HSET', job, F.queue, A.queue)
if not enter_queue(A.id, A.queue, row[3], row[4], suspect) then
  fail_broken(A.id)
end
conclude({})
return Moved.MOVED
