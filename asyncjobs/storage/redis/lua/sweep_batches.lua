-- sweep_batches: gives up batches that were left staging, and forgets those that finished long ago, some of each.
-- KEYS: t. ARGV: now. Reply: 1. O(log n + continuations, bounded).
-- @include now
-- @include sweep_batch
-- @include conclude
redis.call('HDEL', K.meta, '-')
for _, batch in ipairs(redis.call('ZRANGEBYSCORE', K.batches, '-inf', now - STAGING_MS, 'LIMIT', 0, 20)) do
  give_up(batch)
end
local latest = string.format('%.0f', BATCH_FINISHED + now - BATCH_RETENTION_MS)
for _, batch in ipairs(redis.call('ZRANGEBYSCORE', K.batches, string.format('%.0f', BATCH_FINISHED), latest, 'LIMIT', 0, 20)) do
  forget_batch(batch)
end
conclude({})
return 1
