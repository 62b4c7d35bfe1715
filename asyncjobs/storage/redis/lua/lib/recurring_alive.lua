-- recurring_alive(): notes that somebody looks after recurring jobs; after a silence longer than half of ORPHAN_MS,
-- holds orphaning back, so that workers can renew what they declare. When orphaning may go on. O(1).
local function recurring_alive()
  local row = redis.call('HMGET', K.meta, M.recurring_alive, M.recurring_hold)
  local alive, hold = tonumber(row[1] or 0), tonumber(row[2] or 0)
  if row[1] and now - alive > math.floor(ORPHAN_MS / 2) then
    hold = now + ORPHAN_MS
    redis.call('HSET', K.meta, M.recurring_hold, hold)
  end
  if now - alive > ALIVE_MS then
    redis.call('HSET', K.meta, M.recurring_alive, now)
  end
  return hold
end
