-- mend_member: a batch has the members that say so, and those only. What it counts is another matter (mend_batch).
-- KEYS: t. ARGV: apply ("" = only say what would be done), batch, member.
-- Reply: what is done, "" if nothing is wrong. O(log members).
-- @include repairs
-- @include edge
local key, members, member = K.batch(A.batch), K.members(A.batch), A.member
local state = redis.pcall('HGET', key, B.state)
local at = redis.pcall('ZSCORE', members, member)
if type(state) ~= 'string' or state == STUB or type(at) == 'table' then
  return ''
end
local row = redis.pcall('HMGET', key_of(member), F.state, is_batch(member) and B.parent or F.batch)
if row.err then
  return ''
end
local is_there, says_so = row[1] and row[1] ~= STUB, row[2] == A.batch
local joined = not is_batch(member) or row[1] ~= S.staging or state == S.staging
if not at and is_there and says_so and joined then
  to_mend('it is among the members of batch ' .. A.batch .. ' again', function()
    local last = redis.call('ZREVRANGE', members, 0, 0, 'WITHSCORES')
    redis.call('ZADD', members, string.format('%.0f', (tonumber(last[2]) or 0) + 1), member)
  end)
elseif at and not is_batch(member) and not is_there then
  local counted = redis.call('HMGET', key, B.total, B.nested, 't' .. S.succeeded, 't' .. S.failed, 't' .. S.cancelled)
  local known = redis.call('ZCARD', members) - (tonumber(counted[2]) or 0)
  for n = 3, 5 do
    known = known + (tonumber(counted[n]) or 0)
  end
  if known > (tonumber(counted[1]) or 0) then
    to_mend('it was never a member of batch ' .. A.batch, function()
      redis.call('ZREM', members, member)
    end)
  else
    to_mend('it counts as cancelled in batch ' .. A.batch, function()
      redis.call('ZREM', members, member)
      redis.call('HINCRBY', key, 't' .. S.cancelled, 1)
    end)
  end
elseif at and is_batch(member) and is_there and not row[2] then
  to_mend('it is nested in batch ' .. A.batch .. ' again', function()
    redis.call('HSET', key_of(member), B.parent, A.batch)
  end)
elseif at and is_there and not says_so then
  to_mend('it is no member of batch ' .. A.batch .. ' any more', function()
    redis.call('ZREM', members, member)
  end)
end
return mended()
