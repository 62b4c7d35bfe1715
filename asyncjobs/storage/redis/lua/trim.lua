-- trim: removes finished jobs that are past their retention.
-- KEYS: t. ARGV: now, limit, the ages of succeeded, failed and cancelled jobs (ms), greatest number of each.
-- Reply: 1 if there are more. O(limit · log n).
-- @include now
-- @include bump
-- @include list_of
-- @include trim_list
redis.call('HDEL', K.meta, '-')
local left, total, more = tonumber(A.limit), 0, false
local expired = redis.call('ZRANGEBYSCORE', K.expire, '-inf', now, 'LIMIT', 0, left)
for _, id in ipairs(expired) do
  local state = redis.call('HGET', K.job(id), F.state)
  local list = list_of(state)
  local at = list and redis.call('ZSCORE', list, id)
  local row = trim_row(id)
  if at and is_needed(row, state) then
    redis.call('ZADD', K.expire, now + PIN_MS, id)
  else
    if at then
      drop_ended(id, at, list, state, row)
      total = total + 1
    end
    redis.call('ZREM', K.expire, id)
  end
end
more = #expired == left
left = left - #expired
for _, row in ipairs({
  { K.succeeded, S.succeeded, A.succeeded_ms },
  { K.failed, S.failed, A.failed_ms },
  { K.cancelled, S.cancelled, A.cancelled_ms },
}) do
  if left > 0 then
    local removed, rest = trim_list(row[1], row[2], tonumber(row[3]), tonumber(A.max_jobs), left)
    left, total, more = left - removed, total + removed, more or rest
  else
    more = true
  end
end
if total > 0 then
  bump({ trimmed = total })
end
return more and 1 or 0
