-- queue_length(queue), oldest_in(queue): jobs enqueued in a queue, and when the one at its head was enqueued. O(1).
local function queue_length(queue)
  local ids = redis.call('LLEN', K.queue(queue)) + redis.call('ZCARD', K.priority(queue))
    + redis.call('LLEN', K.suspects(queue))
  return math.max(ids - (redis.call('HGET', K.ghosts, queue) or 0), 0)
end

local function oldest_in(queue)
  local prior = K.priority(queue)
  for _, ids in ipairs({
    redis.call('LRANGE', K.suspects(queue), 0, 19),
    redis.call('ZRANGEBYSCORE', prior, '-inf', '(0', 'LIMIT', 0, 20),
    redis.call('LRANGE', K.queue(queue), 0, 19),
    redis.call('ZRANGEBYSCORE', prior, '(0', '+inf', 'LIMIT', 0, 20),
  }) do
    for _, id in ipairs(ids) do
      local row = redis.pcall('HMGET', K.job(id), F.state, F.queue, F.enqueued, F.created)
      if row[1] == S.enqueued and row[2] == queue then
        return row[3] or row[4]
      end
    end
  end
  return ''
end
