-- places: how many jobs of a state's sorted list come before a score, and how many have it; the list's bounds.
-- KEYS: t. ARGV: state, score, newest_first ("1" or "0"). Reply: {before, with it, lowest or "", highest or ""}.
-- Cost: O(log n).
-- @include list_of
local list = list_of(A.state)
local before = A.newest_first == '1' and { '(' .. A.score, '+inf' } or { '-inf', '(' .. A.score }
local lowest, highest = redis.call('ZRANGE', list, 0, 0, 'WITHSCORES'), redis.call('ZRANGE', list, -1, -1, 'WITHSCORES')
return { redis.call('ZCOUNT', list, before[1], before[2]), redis.call('ZCOUNT', list, A.score, A.score),
  lowest[2] or '', highest[2] or '' }
