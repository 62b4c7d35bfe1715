-- held_lock(name): of a lock that is held now, its fencing number, until when (ms), and its holder's token. O(1).
local function held_lock(name)
  local number, til, token = string.match(redis.call('GET', K.lock(name)) or '', '^(%d+) (%d+) (.*)$')
  -- Redis forgets it by its own clock; a test's may be ahead.
  if number and tonumber(til) > now then
    return tonumber(number), tonumber(til), token
  end
end

-- hold_lock(name, number, token, ttl): lets it be held for a time (ms) from now on. O(log locks).
local function hold_lock(name, number, token, ttl)
  redis.call('SET', K.lock(name), string.format('%.0f %.0f %s', number, now + ttl, token), 'PX', ttl)
  redis.call('ZADD', K.locks, now + ttl, name)
end
