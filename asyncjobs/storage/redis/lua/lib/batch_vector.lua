-- batch_vector(id): what a batch counts, as one string: state, total, succeeded, failed and cancelled ones, those of
-- nested batches, removed ones, whether it is cancelled, and how many members its list has. O(1).
local function batch_vector(id)
  local row = redis.call('HMGET', K.batch(id), B.state, B.total, S.succeeded, S.failed, S.cancelled, B.nested,
    B.nested_succeeded, B.nested_failed, 't' .. S.succeeded, 't' .. S.failed, 't' .. S.cancelled, B.cancel_requested)
  for at = 1, 12 do
    row[at] = row[at] or ''
  end
  row[13] = redis.call('ZCARD', K.members(id))
  return table.concat(row, ',')
end
