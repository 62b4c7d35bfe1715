-- continuations: a page of the jobs that still wait for a node's end.
-- KEYS: t. ARGV: node, offset, limit. Reply: {how many, ids}. O(log n + limit).
-- @include edge
local key = continuations_of(A.node)
local limit = tonumber(A.limit)
return { redis.call('ZCARD', key), limit > 0 and redis.call('ZRANGE', key, A.offset, A.offset + limit - 1) or {} }
