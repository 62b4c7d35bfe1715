-- open_batch(batch), place_members(batch): a staging batch is open; and a bounded number of its members leave `staging`.
-- O(log n), O(members · log n).
-- @include follow_up
local function open_batch(batch)
  local key = K.batch(batch)
  redis.call('HSET', key, B.state, S.processing)
  redis.call('ZADD', K.batches, string.format('%.0f', BATCH_OPEN + redis.call('HGET', key, B.created)), batch)
  put_off('c' .. batch)
end

local function place_members(batch)
  local key = K.batch(batch)
  local rows = redis.call('ZRANGEBYSCORE', K.members(batch), '(' .. (redis.call('HGET', key, B.placed) or 0), '+inf',
    'WITHSCORES', 'LIMIT', 0, follow.left)
  for at = 1, #rows, 2 do
    local id = rows[at]
    if is_batch(id) then
      if redis.call('HGET', key_of(id), B.state) == S.staging then
        open_batch(string.sub(id, 2))
      end
    else
      local row = redis.pcall('HMGET', K.job(id), F.state, F.unmet, F.queue, F.priority, F.timing,
        F.limits)
      if row[1] == S.staging then
        if tonumber(row[2] or 0) > 0 then
          redis.call('HSET', K.job(id), F.state, S.awaiting)
          redis.call('ZADD', K.awaiting, now, id)
        else
          start(id, row[3], row[4], row[5], row[6])
        end
      end
    end
  end
  local whole = #rows / 2 < follow.left
  follow.left = follow.left - #rows / 2
  if #rows > 0 then
    redis.call('HSET', key, B.placed, rows[#rows])
  end
  if whole then
    redis.call('ZREM', K.follow_ups, 'c' .. batch)
    -- One without members is finished as soon as it is open.
    count_in(batch, B.total, 0)
  end
end
