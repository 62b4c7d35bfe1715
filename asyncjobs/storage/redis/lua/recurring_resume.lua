-- recurring_resume: gives a paused recurring job its next time again, if that was worked out from its definition.
-- KEYS: t. ARGV: now, id, revision, next (ms or ""). Reply: Changed. Cost: O(log n).
-- Begins with a removing command, which a full Redis allows, so that all that follows is allowed too.
-- @include now
-- @include recurring_row
local call = redis.call
local facts = K.recurring_facts(A.id)
call('HDEL', K.meta, '-')
local row = call('HMGET', facts, R.revision, R.paused, R.declared, R.orphaned, R.seen)
if not row[1] then
  return Changed.MISSING
elseif not row[2] then
  return Changed.DONE
elseif row[1] ~= A.revision then
  return Changed.OUTDATED
end
call('HDEL', facts, R.paused)
if not is_orphaned(row[3], row[4], row[5], orphan_hold()) then
  call('HSET', facts, R.next, A.next)
  call('ZADD', K.recurring_next, A.next == '' and '+inf' or A.next, A.id)
end
return Changed.DONE
