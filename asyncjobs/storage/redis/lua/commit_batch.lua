-- commit_batch: a staging batch is open: one step that decides for all of it. Its first members leave `staging` at
-- once, the others by carry_on.
-- KEYS: t. ARGV: now, id. Reply: Opened. O(members, bounded, log n each).
-- @include now
-- @include join_batch
-- @include place_members
-- @include called_off
-- @include conclude
local row = redis.call('HMGET', K.batch(A.id), B.state, B.parent)
if not row[1] or row[1] == STUB then
  return Opened.MISSING
end
if row[1] ~= S.staging then
  return Opened.DONE
end
if row[2] then
  local above = redis.call('HGET', K.batch(row[2]), B.state)
  if not above or above == STUB then
    return Opened.MISSING
  elseif redis.call('ZSCORE', K.members(row[2]), '~' .. A.id) then
    -- It opens with the outermost one, or does so already by and by.
    local _, state = root_of(A.id)
    return state == STUB and Opened.MISSING or Opened.DONE
  elseif called_off(row[2]) then
    return Opened.CANCELLED
  end
  join_batch(row[2], { '~' .. A.id })
end
open_batch(A.id)
place_members(A.id)
conclude({})
return Opened.DONE
