-- renew_lock: lets a lock be held for longer, if it is still its holder's.
-- KEYS: t. ARGV: now, name, token, ttl (ms, from now on). Reply: 1, or 0 if it is not this holder's. O(1).
-- @include now
-- @include held_lock
redis.call('HDEL', K.meta, '-')
local number, _, holder = held_lock(A.name)
if holder ~= A.token then
  return 0
end
hold_lock(A.name, number, A.token, A.ttl)
return 1
