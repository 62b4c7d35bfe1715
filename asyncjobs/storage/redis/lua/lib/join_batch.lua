-- join_batch(batch, ids): adds members to a batch; a finished one is open again. O(ids · log n).
-- @include follow_up
-- @include root_of
local function join_batch(batch, ids)
  local key = K.batch(batch)
  local jobs = 0
  for _, id in ipairs(ids) do
    jobs = jobs + (is_batch(id) and 0 or 1)
  end
  if jobs < #ids then
    redis.call('HINCRBY', key, B.nested, #ids - jobs)
  end
  local total = redis.call('HINCRBY', key, B.total, jobs) + (redis.call('HGET', key, B.nested) or 0)
  local rows = {}
  for at, id in ipairs(ids) do
    rows[2 * at - 1], rows[2 * at] = total - #ids + at, id
  end
  redis.call('ZADD', K.members(batch), unpack(rows))
  if redis.call('HGET', key, B.state) == S.staging then
    -- What is nested is given up with the one around it, which this keeps alive.
    local root, state = root_of(batch)
    if state == S.staging then
      redis.call('ZADD', K.batches, now, root)
    end
  else
    reopen_batch(batch, '', 0)
  end
end
