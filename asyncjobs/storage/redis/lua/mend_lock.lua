-- mend_lock: a lock is given up when its time is over, and so is each place in the line for it.
-- KEYS: t. ARGV: now, apply ("" = only say what would be done), name.
-- Reply: what is done, "" if nothing is wrong. O(some of those who wait).
-- @include now
-- @include repairs
-- @include held_lock
local lock = redis.pcall('GET', K.lock(A.name))
if type(lock) == 'string' and redis.call('PTTL', K.lock(A.name)) == -1 then
  local _, til = held_lock(A.name)
  to_mend(til and 'it is given up when its time is over' or 'it is given up', function()
    if til then
      redis.call('PEXPIRE', K.lock(A.name), til - now)
    else
      redis.call('DEL', K.lock(A.name))
    end
  end)
end
local _, til = held_lock(A.name)
if til and not redis.call('ZSCORE', K.locks, A.name) then
  to_mend('it is listed again', function()
    redis.call('ZADD', K.locks, til, A.name)
  end)
end
local sides = { K.lock_waiters(A.name), K.lock_askers(A.name) }
for side = 1, 2 do
  for _, waiter in ipairs(redis.call('ZRANGE', sides[side], 0, MEND_LIMIT - 1)) do
    if not redis.call('ZSCORE', sides[3 - side], waiter) then
      to_mend('one that can\'t be told doesn\'t wait for it any more', function()
        redis.call('ZREM', sides[side], waiter)
      end)
    end
  end
end
return mended()
