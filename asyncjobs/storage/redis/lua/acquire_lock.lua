-- acquire_lock: takes a lock that nobody else holds; else, with an inbox, waits there for its release.
-- Begins with a removing command, as all of these do: a full Redis must not stop what a lock protects.
-- KEYS: t. ARGV: now, name, token, ttl (ms), inbox or "".
-- Reply: {fencing number, or 0 if another holds it; for how long it is held, ms}. O(log waiters + log locks), and the
-- former for each waiter that is dropped.
-- @include now
-- @include held_lock
-- @include lock_waiters
redis.call('HDEL', K.meta, '-')
drop_waiters(A.name)
local number, til, holder = held_lock(A.name)
local waiter = A.token .. ' ' .. A.inbox
if number and holder ~= A.token then
  if A.inbox ~= '' then
    add_waiter(A.name, waiter)
  end
  return { 0, til - now }
end
if not number then
  -- Also where the counter was lost in a failover, numbers go on growing.
  number = math.max(tonumber(redis.call('HGET', K.meta, M.fence) or 0) + 1, now)
  redis.call('HSET', K.meta, M.fence, string.format('%.0f', number))
  -- Whoever takes one clears away more than one, so that those whose holders died don't pile up.
  local over = redis.call('ZRANGEBYSCORE', K.locks, '-inf', now, 'LIMIT', 0, SWEPT)
  if #over > 0 then
    redis.call('ZREM', K.locks, unpack(over))
  end
end
forget_waiters(A.name, { waiter })
hold_lock(A.name, number, A.token, A.ttl)
return { number, tonumber(A.ttl) }
