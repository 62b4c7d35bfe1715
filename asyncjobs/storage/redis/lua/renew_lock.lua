-- renew_lock: lets a lock be held for longer, if it is still its holder's; its number and all later ones, of whatever
-- lock, are no lower than the floor (0: as they are).
-- KEYS: t. ARGV: now, name, token, ttl (ms, from now on), floor. Reply: 1, or 0 if it is not this holder's. O(log locks).
-- @include now
-- @include held_lock
redis.call('HDEL', K.meta, '-')
local number, _, holder = held_lock(A.name)
if holder ~= A.token then
  return 0
end
local floor = tonumber(A.floor)
if floor > number then
  number = floor
  if floor > tonumber(redis.call('HGET', K.meta, M.fence) or 0) then
    redis.call('HSET', K.meta, M.fence, string.format('%.0f', floor))
  end
end
hold_lock(A.name, number, A.token, A.ttl)
return 1
