-- begin_cancelling(batch), cancel_members(batch): from now on none of its members starts; and a bounded number of them is
-- cancelled. O(log n), O(members · log n).
-- @include cancel_job
local function begin_cancelling(batch)
  if redis.call('HSETNX', K.batch(batch), B.cancel_requested, '1') == 1 then
    put_off('k' .. batch)
  end
end

local function cancel_members(batch)
  -- Cancelling one costs Redis about twice as much as letting it begin.
  local key, most = K.batch(batch), math.ceil(follow.left / 2)
  local rows = redis.call('ZRANGEBYSCORE', K.members(batch), '(' .. (redis.call('HGET', key, B.cancelling) or 0), '+inf',
    'WITHSCORES', 'LIMIT', 0, most)
  local whole = #rows / 2 < most
  follow.left = follow.left - #rows
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
