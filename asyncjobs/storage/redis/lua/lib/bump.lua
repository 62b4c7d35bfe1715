-- bump(counts): adds to the totals and to this hour's and day's buckets, which expire. O(counters).
local function bump(counts)
  local hour, day = K.hour(math.floor(now / 3600000)), K.day(math.floor(now / 86400000))
  for counter, n in pairs(counts) do
    redis.call('HINCRBY', K.stats, counter, n)
    if redis.call('HINCRBY', hour, counter, n) == n then
      redis.call('EXPIRE', hour, 8 * 86400)
    end
    if redis.call('HINCRBY', day, counter, n) == n then
      redis.call('EXPIRE', day, 400 * 86400)
    end
  end
end
