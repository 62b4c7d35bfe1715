-- clear: deletes jobs in a state that has a list, oldest or earliest first.
-- KEYS: t. ARGV: now, state, limit. Reply: {how many, 1 if more are there}. O(limit · log n).
-- @include now
-- @include delete_job
-- @include conclude
-- @include list_of
redis.call('HDEL', K.meta, '-')
local list = list_of(A.state)
local deleted = 0
-- A range that ends at -1 would be everything.
local ids = tonumber(A.limit) > 0 and redis.call('ZRANGE', list, 0, A.limit - 1) or {}
for _, id in ipairs(ids) do
  if delete_job(id) == Deleted.DELETED then
    deleted = deleted + 1
  end
  redis.call('ZREM', list, id)
end
conclude({})
return { deleted, redis.call('ZCARD', list) > 0 and 1 or 0 }
