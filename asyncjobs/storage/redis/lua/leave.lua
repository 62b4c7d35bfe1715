-- leave: a job on another shard doesn't wait for a node any more.
-- KEYS: t. ARGV: node, id. Reply: 1. O(log n).
-- @include edge
redis.call('HDEL', K.meta, '-')
leave(A.node, A.id)
return 1
