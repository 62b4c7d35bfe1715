-- register: makes a worker's entry and its lease.
-- Begins with a removing command, so that a full Redis can still be worked off.
-- KEYS: t. ARGV: now, worker, info, lease (ms). Reply: now. O(log workers).
-- @include now
-- @include alive
redis.call('HDEL', K.meta, '-')
redis.call('HSET', K.worker(A.worker), W.info, A.info, W.lease, A.lease)
redis.call('HSETNX', K.worker(A.worker), W.number, 0)
redis.call('ZADD', K.workers, now + A.lease, A.worker)
mark_alive(tonumber(A.lease))
return now
