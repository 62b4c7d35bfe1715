-- recurring_put: makes a recurring job or replaces its definition; the next time moves only with the timing.
-- KEYS: t. ARGV: now, id, definition, revision, timing, declared ("1" or ""), next (ms or "").
-- Reply: Put. Cost: O(log n).
-- A full Redis refuses the first HSET, before anything is written.
-- @include now
-- @include recurring_row
local call = redis.call
local facts = K.recurring_facts(A.id)
local row = call('HMGET', facts, R.revision, R.timing, R.declared, R.orphaned, R.seen, R.paused)
local known, orphan = row[1], is_orphaned(row[3], row[4], row[5], orphan_hold())
if known and not orphan and (row[3] and '1' or '') ~= A.declared then
  return Put.TAKEN
end
call('HSET', K.recurring, A.id, A.definition)
call('HSET', facts, R.revision, A.revision, R.timing, A.timing)
if not known then
  call('HSET', facts, R.created, now)
end
if A.declared == '1' then
  call('HSET', facts, R.declared, '1', R.seen, now, R.held, now)
else
  call('HDEL', facts, R.declared, R.seen, R.held)
end
call('HDEL', facts, R.code, R.original)
if known and not orphan and row[2] == A.timing then
  return Put.KEPT
end
local next = row[6] and '' or A.next
call('HDEL', facts, R.orphaned, R.waiting)
call('HSET', facts, R.next, next)
call('ZADD', K.recurring_next, next == '' and '+inf' or next, A.id)
return Put.MOVED
