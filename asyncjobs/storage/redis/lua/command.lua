-- command: tells a worker to be quiet or to stop.
-- KEYS: t. ARGV: worker, command. Reply: 1, or 0 if there is no such worker. O(1).
redis.call('HDEL', K.meta, '-')
if redis.call('EXISTS', K.worker(A.worker)) == 0 then
  return 0
end
redis.call('HSET', K.worker(A.worker), W.command, A.command)
redis.call('RPUSH', K.control(A.worker), '1')
redis.call('PEXPIRE', K.control(A.worker), STUB_MS)
return 1
