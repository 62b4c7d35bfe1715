-- trim_list(list, state, age, max_jobs, limit): removes a list's jobs over its number, then over its age; how
-- many, and whether more are left. Jobs with an expiry of their own are passed over by age: a cursor remembers
-- up to where that was seen, so they aren't looked at again and again. O(limit).
-- What is still needed (see drop_ended) stays, and is looked at again later.
-- @include drop_ended
local function trim_list(list, state, age, max_jobs, limit)
  local removed, rest = 0, false

  local over = redis.call('ZCARD', list) - max_jobs
  if over > 0 then
    local rows = redis.call('ZRANGE', list, 0, math.min(over, limit + TRIM_LOOK) - 1, 'WITHSCORES')
    for at = 1, #rows, 2 do
      local row = trim_row(rows[at])
      if removed < limit and not is_needed(row, state) then
        drop_ended(rows[at], rows[at + 1], list, state, row)
        removed = removed + 1
      end
    end
    rest = removed > 0 and over > removed
    if rest and removed >= limit then
      return removed, true
    end
  end

  local horizon = now - age
  local head = redis.call('ZRANGE', list, 0, 0, 'WITHSCORES')
  if not head[2] or tonumber(head[2]) > horizon then
    return removed, rest
  end
  local field = M.cursor .. state
  local cursor = redis.call('HGET', K.meta, field) or '-inf'
  local rows = redis.call('ZRANGEBYSCORE', list, cursor, horizon, 'WITHSCORES', 'LIMIT', 0, 100)
  local kept
  for at = 1, #rows, 2 do
    local row = trim_row(rows[at])
    if row[3] then
      kept = rows[at + 1]
    elseif is_needed(row, state) then
      redis.call('ZADD', K.expire, now + PIN_MS, rows[at])
      redis.call('HSET', K.job(rows[at]), F.expires, '1')
      kept = rows[at + 1]
    elseif removed < limit then
      drop_ended(rows[at], rows[at + 1], list, state, row)
      removed = removed + 1
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
  return removed, rest or #rows == 200
end
