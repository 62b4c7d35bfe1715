-- add_history(id, event, attempt, worker, err): one line "at event attempt worker", then the packed error. O(1).
local function add_history(id, event, attempt, worker, err)
  local key = K.history(id)
  local head = string.format('%.0f %s %s %s\n', now, event, attempt or '0', worker or '')
  local added = redis.pcall('RPUSH', key, head .. (err or ''))
  if type(added) == 'table' then
    -- Something else was put there, and nothing of a job's is worth more than its state.
    redis.call('UNLINK', key)
    redis.call('RPUSH', key, head .. (err or ''))
  end
  redis.call('LTRIM', key, -HISTORY_LIMIT, -1)
end
