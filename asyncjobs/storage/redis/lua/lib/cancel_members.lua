-- begin_cancelling(batch), cancel_members(batch): from now on none of its members starts; and a bounded number of them is
-- cancelled. O(log n), O(members · log n).
-- @include cancel_job
local function begin_cancelling(batch)
  if redis.call('HSETNX', K.batch(batch), B.cancel_requested, '1') == 1 then
    put_off('k' .. batch)
  end
end

local function cancel_members(batch)
  local key = K.batch(batch)
  local rows = redis.call('ZRANGEBYSCORE', K.members(batch), '(' .. (redis.call('HGET', key, B.cancelling) or 0), '+inf',
    'WITHSCORES', 'LIMIT', 0, follow.left)
  local whole = #rows / 2 < follow.left
  follow.left = follow.left - #rows / 2
  for at = 1, #rows, 2 do
    local id = rows[at]
    if not is_batch(id) then
      cancel_job(id)
    elseif redis.call('EXISTS', key_of(id)) == 1 then
      begin_cancelling(string.sub(id, 2))
    end
  end
  if #rows > 0 then
    redis.call('HSET', key, B.cancelling, rows[#rows])
  end
  if whole then
    redis.call('ZREM', K.follow_ups, 'k' .. batch)
  end
end
