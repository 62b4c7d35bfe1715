-- purge: deletes enqueued jobs of a queue, in the order in which they'd run.
-- KEYS: t. ARGV: now, queue, limit. Reply: {how many, 1 if ids are left}. O(limit · log n).
-- @include now
-- @include delete_job
-- @include skip
redis.call('HDEL', K.meta, '-')
local left, deleted = tonumber(A.limit), 0

local function drop(ids)
  for _, id in ipairs(ids or {}) do
    left = left - 1
    local row = redis.pcall('HMGET', K.job(id), F.state, F.queue, F.inboxes)
    if row[1] == S.enqueued and row[2] == A.queue then
      if row[3] then
        tell(id, row[3])
      end
      remove(id, true)
      deleted = deleted + 1
    else
      skip(id, A.queue, row)
    end
  end
end

drop(redis.call('LPOP', K.suspects(A.queue), left))
if left > 0 then
  local popped = redis.call('ZPOPMIN', K.priority(A.queue), left)
  local ids = {}
  for at = 1, #popped, 2 do
    ids[#ids + 1] = popped[at]
  end
  drop(ids)
end
if left > 0 then
  drop(redis.call('LPOP', K.queue(A.queue), left))
end
forget_ghosts(A.queue)
return { deleted, redis.call('EXISTS', K.queue(A.queue), K.priority(A.queue), K.suspects(A.queue)) > 0 and 1 or 0 }
