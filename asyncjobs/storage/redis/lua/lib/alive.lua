-- mark_alive(lease): notes that somebody is; after a silence longer than half a lease, holds reaping back for one
-- lease, so that workers that couldn't reach Redis can renew theirs. When reaping may go on. O(1).
local function mark_alive(lease)
  local row = redis.call('HMGET', K.meta, M.alive, M.hold)
  local hold = tonumber(row[2] or 0)
  if row[1] and now - row[1] > math.floor(lease / 2) then
    hold = now + lease
    redis.call('HSET', K.meta, M.hold, hold)
  end
  redis.call('HSET', K.meta, M.alive, now)
  return hold
end
