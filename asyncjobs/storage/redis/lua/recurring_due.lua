-- recurring_due: finds recurring jobs whose time has come; those that are orphaned lose theirs.
-- KEYS: t. ARGV: now, worker, limit, offset (so many that have come are passed over).
-- Reply: {now, 1 if there are more, when the next of the others is to be looked at or "", 1 if that is this worker's,
--   {ids found orphaned}, {ids whose record can't be read}, {id, definition, revision, next, 1 if it waits, of each that is due}}.
-- Cost: O(limit), O(log n) each; O(offset).
-- Begins with a removing command, which a full Redis allows, so that all that follows is allowed too.
-- @include now
-- @include recurring_alive
-- @include recurring_row
-- @include claim
local call = redis.call
call('HDEL', K.meta, '-')
local hold = recurring_alive()
local due, orphaned, broken = {}, {}, {}
local ids = call('ZRANGEBYSCORE', K.recurring_next, '-inf', now, 'LIMIT', A.offset, A.limit)
for _, id in ipairs(ids) do
  local facts = K.recurring_facts(id)
  local row = redis.pcall('HMGET', facts, R.revision, R.next, R.declared, R.orphaned, R.seen, R.waiting)
  local definition = call('HGET', K.recurring, id)
  if not (definition and row[1] and (row[2] == '' or tonumber(row[2]))) then
    call('ZREM', K.recurring_next, id)
    broken[#broken + 1] = id
  elseif row[2] == '' then
    call('ZADD', K.recurring_next, '+inf', id)
  elseif is_orphaned(row[3], row[4], row[5], hold) then
    call('HSET', facts, R.orphaned, now, R.next, '')
    call('HDEL', facts, R.waiting)
    call('ZADD', K.recurring_next, '+inf', id)
    orphaned[#orphaned + 1] = id
  else
    local n = #due
    due[n + 1], due[n + 2], due[n + 3], due[n + 4], due[n + 5] = id, definition, row[1], row[2], row[6] and 1 or 0
  end
end
local later = call('ZRANGEBYSCORE', K.recurring_next, '(' .. now, '(+inf', 'WITHSCORES', 'LIMIT', 0, 1)
local next, claimed = '', 0
if later[2] then
  next = string.format('%.0f', later[2])
  claimed = claim(M.recurring_claim, next) and 1 or 0
end
return { now, #ids == tonumber(A.limit) and 1 or 0, next, claimed, orphaned, broken, due }
