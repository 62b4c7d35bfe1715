-- cancel_batch: from now on nothing of a batch starts. Its first members are cancelled at once, the others, and
-- nested batches, by carry_on.
-- KEYS: t. ARGV: now, id. Reply: Opened. O(members, bounded, log n each).
-- @include now
-- @include cancel_members
-- @include conclude
redis.call('HDEL', K.meta, '-')
local state = redis.call('HGET', K.batch(A.id), B.state)
if not state or state == STUB or state == S.staging then
  return Opened.MISSING
end
if state == S.processing then
  begin_cancelling(A.id)
  cancel_members(A.id)
  conclude({})
end
return Opened.DONE
