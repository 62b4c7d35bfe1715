-- trim_row(id), is_needed(row, state), drop_ended(id, at, list, state, row): what has to be known of a job that has
-- ended and is past its retention; whether it can't go yet, for jobs wait for it, or it is a member of an open batch
-- and didn't succeed; and its removal. O(log n).
-- @include remove
-- @include gone
local function trim_row(id)
  local row = redis.pcall('HMGET', K.job(id), F.continued, F.batch, F.expires)
  return row.err and {} or row
end

local function is_needed(row, state)
  return row[1] or (row[2] and state ~= S.succeeded and redis.call('HGET', K.batch(row[2]), B.state) == S.processing)
end

local function drop_ended(id, at, list, state, row)
  remove(id, tonumber(at) + STUB_MS > now)
  redis.call('ZREM', list, id)
  if row[3] then
    redis.call('ZREM', K.expire, id)
  end
  if row[2] then
    gone(id, state, row[2])
  end
end
