-- cancel_batch: from now on nothing of a batch starts. Its first members are cancelled at once, the others, and
-- nested batches, by carry_on.
-- KEYS: t. ARGV: now, id. Reply: Opened. O(members, bounded, log n each).
-- @include now
-- @include cancel_members
-- @include root_of
-- @include conclude
redis.call('HDEL', K.meta, '-')
local state = redis.call('HGET', K.batch(A.id), B.state)
if not state or state == STUB then
  return Opened.MISSING
end
if state == S.staging then
  -- Unless it is about to open with the one around it.
  local _, root = root_of(A.id)
  if root ~= S.processing then
    return Opened.MISSING
  end
end
if state == S.processing or state == S.staging then
  begin_cancelling(A.id)
  cancel_members(A.id)
  conclude({})
end
return Opened.DONE
