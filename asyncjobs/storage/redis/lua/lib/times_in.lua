-- times_in(queue, id): how often an id lies among a queue's suspects, by priority, and in its plain list; nil if one of
-- these keys holds something else. O(ids in the queue).
local function times_in(queue, id)
  local suspects = redis.pcall('LPOS', K.suspects(queue), id, 'COUNT', 0)
  local prior = redis.pcall('ZSCORE', K.priority(queue), id)
  local plain = redis.pcall('LPOS', K.queue(queue), id, 'COUNT', 0)
  for _, reply in ipairs({ suspects, prior or {}, plain }) do
    if type(reply) == 'table' and reply.err then
      return nil
    end
  end
  return #(suspects or {}), prior and 1 or 0, #(plain or {})
end
