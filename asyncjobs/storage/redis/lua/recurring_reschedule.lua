-- recurring_reschedule: gives a recurring job another definition by hand; what the code of workers says is kept beside.
-- KEYS: t. ARGV: now, id, known (the revision that the definition was made from), definition, revision, timing,
--   next (ms or ""). Reply: Changed. Cost: O(log n).
-- A full Redis refuses the first HSET, before anything is written.
-- @include now
-- @include recurring_row
local call = redis.call
local facts = K.recurring_facts(A.id)
local row = call('HMGET', facts, R.revision, R.timing, R.declared, R.orphaned, R.seen, R.paused, R.code)
if not row[1] then
  return Changed.MISSING
elseif row[1] ~= A.known then
  return Changed.OUTDATED
end
if row[3] and not row[7] and A.revision ~= row[1] then
  call('HSET', facts, R.code, row[1], R.original, call('HGET', K.recurring, A.id))
end
call('HSET', facts, R.revision, A.revision, R.timing, A.timing)
call('HSET', K.recurring, A.id, A.definition)
if row[7] == A.revision then
  call('HDEL', facts, R.code, R.original)
end
if row[2] ~= A.timing then
  local next = (row[6] or is_orphaned(row[3], row[4], row[5], orphan_hold())) and '' or A.next
  call('HDEL', facts, R.waiting)
  call('HSET', facts, R.next, next)
  call('ZADD', K.recurring_next, next == '' and '+inf' or next, A.id)
end
return Changed.DONE
