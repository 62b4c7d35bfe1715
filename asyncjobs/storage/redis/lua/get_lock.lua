-- get_lock: who holds a lock.
-- KEYS: t. ARGV: now, name. Reply: {token, fencing number, until (ms), how many wait}, or false if nobody does.
-- O(log waiters).
-- @include now
-- @include held_lock
local number, til, holder = held_lock(A.name)
if not number then
  return false
end
return { holder, number, til, redis.call('ZCOUNT', K.lock_askers(A.name), '(' .. now, '+inf') }
