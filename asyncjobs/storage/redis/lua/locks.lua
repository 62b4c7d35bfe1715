-- locks: the locks that are held now, those that run out first before the others.
-- KEYS: t. ARGV: now, offset, limit. Reply: {name, token, fencing number, until (ms), how many wait, name, …}.
-- O(log locks + offset), and O(log waiters) for each one told.
-- @include now
-- @include held_lock
local told = {}
for _, name in ipairs(redis.call('ZRANGEBYSCORE', K.locks, '(' .. now, '+inf', 'LIMIT', A.offset, A.limit)) do
  local number, til, holder = held_lock(name)
  if number then
    local waiting = redis.call('ZCOUNT', K.lock_askers(name), '(' .. now, '+inf')
    for _, value in ipairs({ name, holder, number, til, waiting }) do
      told[#told + 1] = value
    end
  end
end
return told
