-- limits: a page of the keys of limits that jobs run, are enqueued or wait under.
-- KEYS: t. ARGV: now, offset, limit. Reply: {how many, then for each: id, most, per, running, started, enqueued, waiting}.
-- Where a window has opened meanwhile, it lets jobs in. O(log n + offset + limit).
-- @include now
-- @include conclude
redis.call('HDEL', K.meta, '-')
local reply = { redis.call('ZCARD', K.active_limits) }
local limit = tonumber(A.limit)
local ids = limit > 0 and redis.call('ZRANGE', K.active_limits, A.offset, A.offset + limit - 1) or {}
for _, id in ipairs(ids) do
  local entry = entry_of(id)
  local enqueued, waiting, n = 0, 0, #reply
  for field, count in pairs(entry.counts) do
    if string.sub(field, 1, 1) == L.enqueued then
      enqueued = enqueued + count
    elseif string.sub(field, 1, 1) == L.waiting then
      waiting = waiting + count
    end
  end
  local running, started = entry.counts[L.running] or 0, entry.counts[L.started] or 0
  if running + started + enqueued + waiting > 0 then
    reply[n + 1], reply[n + 2], reply[n + 3], reply[n + 4] = id, entry.most, entry.per, running
    reply[n + 5], reply[n + 6], reply[n + 7] = started, enqueued, waiting
  else
    reply[1] = reply[1] - 1
  end
  touch(entry)
end
conclude({})
return reply
