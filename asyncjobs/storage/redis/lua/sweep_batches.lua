-- sweep_batches: gives up batches that were left staging, and forgets those that finished long ago, some of each.
-- KEYS: t. ARGV: now. Reply: 1 if there may be more. O(log n + continuations, bounded).
-- @include now
-- @include sweep_batch
-- @include conclude
redis.call('HDEL', K.meta, '-')
local left = redis.call('ZRANGEBYSCORE', K.batches, '-inf', now - STAGING_MS, 'LIMIT', 0, SWEEP_LIMIT)
for _, batch in ipairs(left) do
  give_up(batch)
end
local latest = string.format('%.0f', BATCH_FINISHED + now - BATCH_RETENTION_MS)
local old = redis.call('ZRANGEBYSCORE', K.batches, string.format('%.0f', BATCH_FINISHED), latest, 'LIMIT', 0, SWEEP_LIMIT)
for _, batch in ipairs(old) do
  local above = redis.call('HGET', K.batch(batch), B.parent)
  if above and redis.call('HGET', K.batch(above), B.state) == S.processing then
    -- The one around it still counts it, and it may succeed yet: it is looked at again after a while.
    redis.call('ZADD', K.batches, string.format('%.0f', tonumber(latest) + PIN_MS), batch)
  else
    forget_batch(batch)
  end
end
conclude({})
return (#left == SWEEP_LIMIT or #old == SWEEP_LIMIT) and 1 or 0
