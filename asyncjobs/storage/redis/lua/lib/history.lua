-- add_history(id, event, attempt, worker, err): one line "at event attempt worker", then the packed error. O(1).
local function add_history(id, event, attempt, worker, err)
  local key = K.history(id)
  local head = string.format('%.0f %s %s %s\n', now, event, attempt or '0', worker or '')
  redis.call('RPUSH', key, head .. (err or ''))
  redis.call('LTRIM', key, -HISTORY_LIMIT, -1)
end
