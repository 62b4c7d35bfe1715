-- purge: deletes enqueued jobs of a queue, in the order in which they'd run.
-- KEYS: t. ARGV: now, queue, limit. Reply: {how many, 1 if ids are left}. O(limit · log n).
-- @include now
-- @include delete_job
-- @include conclude
-- @include skip
redis.call('HDEL', K.meta, '-')
local left, deleted = tonumber(A.limit), 0

local function drop(ids)
  for _, id in ipairs(ids or {}) do
    left = left - 1
    local row = redis.pcall('HMGET', K.job(id), F.state, F.queue, F.inboxes, F.batch, F.continued, F.limits,
      F.unique)
    if row[1] == S.enqueued and row[2] == A.queue then
      if row[3] then
        tell(K.job(id), id, row[3])
      end
      if row[6] then
        left_queue(row[6], A.queue)
      end
      if row[7] then
        release_unique(id, row[7])
      end
      remove(id, true)
      gone(id, row[1], row[4], row[5])
      deleted = deleted + 1
    else
      skip(id, A.queue, row)
    end
  end
end

local function drop_prior(top)
  local prior = K.priority(A.queue)
  local ids = left > 0 and redis.call('ZRANGEBYSCORE', prior, '-inf', top, 'LIMIT', 0, left) or {}
  if #ids > 0 then
    redis.call('ZREM', prior, unpack(ids))
    drop(ids)
  end
end

drop(redis.call('LPOP', K.suspects(A.queue), left))
drop_prior('(0')
if left > 0 then
  drop(redis.call('LPOP', K.queue(A.queue), left))
end
drop_prior('+inf')
forget_ghosts(A.queue)
conclude({})
return { deleted, redis.call('EXISTS', K.queue(A.queue), K.priority(A.queue), K.suspects(A.queue)) > 0 and 1 or 0 }
