-- unregister: removes a worker's entry if it holds no lease.
-- KEYS: t. ARGV: now, worker. Reply: 1, or 0 if it holds leases. O(log workers).
-- @include now
-- @include drop_worker
redis.call('HDEL', K.meta, '-')
if redis.call('SCARD', K.held(A.worker)) > 0 then
  return 0
end
drop_worker(A.worker)
return 1
