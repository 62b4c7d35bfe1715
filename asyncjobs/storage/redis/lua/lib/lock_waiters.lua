-- add_waiter(name, waiter), forget_waiters(name, waiters), drop_waiters(name): one waits for a lock, where it waited if
-- it did; those ("token inbox") don't wait any more; nor do those that haven't asked for too long, of which a bounded
-- number is forgotten. O(waiters named or dropped · log waiters).
local function add_waiter(name, waiter)
  redis.call('ZADD', K.lock_waiters(name), 'NX', now, waiter)
  redis.call('ZADD', K.lock_askers(name), now + WAITER_MS, waiter)
  -- Each asks again before this has passed, or nobody waits there any more.
  redis.call('PEXPIRE', K.lock_waiters(name), WAITER_MS)
  redis.call('PEXPIRE', K.lock_askers(name), WAITER_MS)
end

local function forget_waiters(name, waiters)
  if #waiters > 0 then
    redis.call('ZREM', K.lock_waiters(name), unpack(waiters))
    redis.call('ZREM', K.lock_askers(name), unpack(waiters))
  end
end

local function drop_waiters(name)
  forget_waiters(name, redis.call('ZRANGEBYSCORE', K.lock_askers(name), '-inf', now, 'LIMIT', 0, DROP_LIMIT))
end
