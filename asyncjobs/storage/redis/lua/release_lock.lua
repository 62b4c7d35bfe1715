-- release_lock: lets go of a lock if it is still its holder's, or of a place among those who wait for it; if it is
-- free now, tells the longest waiting ones: several, as some may have died, but one of each inbox, as these die together.
-- Who comes first gets it.
-- KEYS: t. ARGV: now, name, token, inbox (where it waited) or "". Reply: 1, or 0 if another holds it. O(log waiters
-- + log locks), and the former for each waiter that is told or dropped.
-- @include now
-- @include held_lock
-- @include lock_waiters
redis.call('HDEL', K.meta, '-')
forget_waiters(A.name, { A.token .. ' ' .. A.inbox })
drop_waiters(A.name)
local _, _, holder = held_lock(A.name)
if holder and holder ~= A.token then
  return 0
end
redis.call('DEL', K.lock(A.name))
redis.call('ZREM', K.locks, A.name)
local told, heard = 0, {}
for _, waiter in ipairs(redis.call('ZRANGE', K.lock_waiters(A.name), 0, DROP_LIMIT - 1)) do
  local token, inbox = string.match(waiter, '^(.*) (%S+)$')
  if told < TOLD_LIMIT and not heard[inbox] then
    told, heard[inbox] = told + 1, true
    redis.call('RPUSH', K.inbox(inbox), token)
    redis.call('PEXPIRE', K.inbox(inbox), STUB_MS)
    redis.call('ZADD', K.lock_askers(A.name), 'XX', 'LT', now + TOLD_MS, waiter)
  end
end
return 1
