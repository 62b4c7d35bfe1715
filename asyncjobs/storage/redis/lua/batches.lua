-- batches: a page of the batches that are open, newest first, and then of the finished ones, latest first.
-- KEYS: t. ARGV: offset, limit. Reply: id, its fields and values, … O(log n + offset + limit).
local reply = {}
for _, id in ipairs(redis.call('ZREVRANGEBYSCORE', K.batches, '+inf', string.format('%.0f', BATCH_FINISHED), 'LIMIT',
  A.offset, A.limit)) do
  reply[#reply + 1] = id
  reply[#reply + 1] = redis.call('HGETALL', K.batch(id))
end
return reply
