-- root_of(batch): the outermost batch that it is in, which is the one that it is committed with, or given up; and the
-- state of that. O(depth · log n).
local function root_of(batch)
  while true do
    local row = redis.call('HMGET', K.batch(batch), B.state, B.parent)
    if not row[2] or not redis.call('ZSCORE', K.members(row[2]), '~' .. batch) then
      return batch, row[1]
    end
    batch = row[2]
  end
end
