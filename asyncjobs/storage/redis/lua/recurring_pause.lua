-- recurring_pause: takes a recurring job's next time until it is resumed.
-- KEYS: t. ARGV: now, id. Reply: Changed. Cost: O(log n).
-- Begins with a removing command, which a full Redis allows, so that all that follows is allowed too.
-- @include now
local facts = K.recurring_facts(A.id)
redis.call('HDEL', facts, R.waiting)
if redis.call('EXISTS', facts) == 0 then
  return Changed.MISSING
end
redis.call('HSET', facts, R.paused, now, R.next, '')
redis.call('ZADD', K.recurring_next, '+inf', A.id)
return Changed.DONE
