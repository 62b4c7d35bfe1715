-- trim_list(list, state, age, max_jobs, limit): removes a list's jobs over its number, then over its age; how
-- many, and whether more are left. Jobs with an expiry of their own are passed over by age: a cursor remembers
-- up to where that was seen, so they aren't looked at again and again. O(limit).
-- @include remove
local function trim_list(list, state, age, max_jobs, limit)
  local removed = 0
  local function drop(id, at, own)
    remove(id, tonumber(at) + STUB_MS > now)
    redis.call('ZREM', list, id)
    if own then
      redis.call('ZREM', K.expire, id)
    end
    removed = removed + 1
  end

  local over = redis.call('ZCARD', list) - max_jobs
  if over > 0 then
    local rows = redis.call('ZRANGE', list, 0, math.min(over, limit) - 1, 'WITHSCORES')
    for at = 1, #rows, 2 do
      drop(rows[at], rows[at + 1], true)
    end
    if over > limit then
      return removed, true
    end
  end

  local horizon = now - age
  local head = redis.call('ZRANGE', list, 0, 0, 'WITHSCORES')
  if not head[2] or tonumber(head[2]) > horizon then
    return removed, false
  end
  local field = M.cursor .. state
  local cursor = redis.call('HGET', K.meta, field) or '-inf'
  local rows = redis.call('ZRANGEBYSCORE', list, cursor, horizon, 'WITHSCORES', 'LIMIT', 0, 100)
  local kept
  for at = 1, #rows, 2 do
    if redis.call('ZSCORE', K.expire, rows[at]) then
      kept = rows[at + 1]
    elseif removed < limit then
      drop(rows[at], rows[at + 1], false)
    else
      if kept then
        redis.call('HSET', K.meta, field, kept)
      end
      return removed, true
    end
  end
  if kept then
    if #rows == 200 and kept == cursor then
      kept = '(' .. kept
    end
    redis.call('HSET', K.meta, field, kept)
  end
  return removed, #rows == 200
end
