-- delete: removes a job that isn't running.
-- KEYS: t. ARGV: now, id, request (8 characters, or ""). Reply: Deleted. O(log n).
-- @include now
-- @include delete_job
-- @include conclude
redis.call('HDEL', K.meta, '-')
local deleted = delete_job(A.id)
conclude({})
if A.request ~= '' then
  if deleted == Deleted.DELETED then
    redis.call('HSET', K.job(A.id), F.requests, A.request)
  elseif deleted == Deleted.MISSING and redis.call('HGET', K.job(A.id), F.requests) == A.request then
    return Deleted.DELETED
  end
end
return deleted
