-- due_head(key): the earliest due time of a list, or nil. O(1).
local function due_head(key)
  local head = redis.call('ZRANGE', key, 0, 0, 'WITHSCORES')
  if head[2] then
    return tonumber(head[2]), head[1]
  end
  return nil
end
