-- members: a page of a batch's members.
-- KEYS: t. ARGV: id, offset, limit. Reply: {how many in all, ids}. O(log n + limit).
local key, limit = K.members(A.id), tonumber(A.limit)
local ids = limit > 0 and redis.call('ZRANGE', key, A.offset, A.offset + limit - 1) or {}
return { redis.call('ZCARD', key), ids }
