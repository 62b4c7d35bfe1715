-- recurring_remove: forgets a recurring job, unless a living worker declares it.
-- KEYS: t. ARGV: now, id. Reply: Changed. Cost: O(log n).
-- @include now
-- @include recurring_row
local facts = K.recurring_facts(A.id)
local row = redis.call('HMGET', facts, R.revision, R.declared, R.orphaned, R.seen)
if not row[1] then
  return Changed.MISSING
elseif row[2] and not is_orphaned(row[2], row[3], row[4], orphan_hold()) then
  return Changed.DECLARED
end
redis.call('UNLINK', facts)
redis.call('HDEL', K.recurring, A.id)
redis.call('ZREM', K.recurring_next, A.id)
return Changed.DONE
