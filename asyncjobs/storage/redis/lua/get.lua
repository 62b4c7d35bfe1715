-- get: a job's fields, with its score where its list knows a time (due, or ended).
-- KEYS: t. ARGV: id. Reply: {fields and values, score or false}, or false. O(fields).
local row = redis.call('HGETALL', K.job(A.id))
if #row == 0 then
  return false
end
local list = redis.call('HGET', K.job(A.id), F.state)
-- @include list_of
list = list_of(list)
return { row, list and redis.call('ZSCORE', list, A.id) or false }
