-- release_lock: lets go of a lock if it is still its holder's, or of a place among those who wait for it; if it is
-- free now, tells the longest waiting one.
-- KEYS: t. ARGV: now, name, token, inbox (where it waited) or "". Reply: 1, or 0 if another holds it. O(log waiters).
-- @include now
-- @include held_lock
redis.call('HDEL', K.meta, '-')
redis.call('ZREM', K.lock_waiters(A.name), A.token .. ' ' .. A.inbox)
local _, _, holder = held_lock(A.name)
if holder and holder ~= A.token then
  return 0
end
redis.call('DEL', K.lock(A.name))
local first = redis.call('ZPOPMIN', K.lock_waiters(A.name))[1]
if first then
  local token, inbox = string.match(first, '^(.*) (%S+)$')
  redis.call('RPUSH', K.inbox(inbox), token)
  redis.call('PEXPIRE', K.inbox(inbox), STUB_MS)
end
return 1
