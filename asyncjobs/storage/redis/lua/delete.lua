-- delete: removes a job that isn't running.
-- KEYS: t. ARGV: now, id. Reply: Deleted. O(log n).
-- @include now
-- @include delete_job
redis.call('HDEL', K.meta, '-')
return delete_job(A.id)
