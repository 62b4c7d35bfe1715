-- make_job(at): makes the job that the arguments from `at` on tell of (id, queue, priority, due, how, n, and n fields and
-- values), enqueued, scheduled or throttled; one whose id exists is left as it is. `how`: "", or with limits, a unique key
-- or an expiry what lib/create_linked takes. The place after it, its id, and what became of it: true, it is there; false
-- where its queue's key can't take it, and then nothing of it is kept; nil where another holds its unique key. Its first
-- write is one that a full Redis refuses. To be followed by conclude_made. O(1), O(log n) with a priority, a due time or
-- limits.
-- @include workflow
local function conclude_made()
  if made then
    made.conclude({})
  end
end

local function make_job(at)
  local call = redis.call
  local id, queue, priority, due = ARGV[at], ARGV[at + 1], ARGV[at + 2], tonumber(ARGV[at + 3])
  local first, last = at + 6, at + 5 + tonumber(ARGV[at + 5])
  local job, placed = K.job(id), true
  if ARGV[at + 4] ~= '' and call('EXISTS', job) == 0 then
    local code = workflow().create_linked(id, queue, priority, '0', ARGV[at + 3], ARGV[at + 4], first, last)
    return last + 1, id, code == Created.CREATED or nil
  elseif call('EXISTS', job) == 0 then
    local state = due > now and S.scheduled or S.enqueued
    call('HSET', job, F.state, state, F.created, now, F.queue, queue, unpack(ARGV, first, last))
    if priority ~= '0' then
      call('HSET', job, F.priority, priority)
    end
    if due > now then
      call('HSET', job, F.enqueued, 0)
      local earliest = math.min(due_head(K.scheduled) or math.huge, due_head(K.retrying) or math.huge)
      placed = type(redis.pcall('ZADD', K.scheduled, due, id)) == 'number'
      if placed and due < earliest then
        wake(queue)
      elseif placed and call('HEXISTS', K.queues, queue) == 0 then
        call('HSET', K.queues, queue, '')
      end
    else
      placed = place(id, queue, priority, now)
      if placed then
        wake(queue)
      end
    end
    if not placed then
      call('UNLINK', job)
    end
  end
  return last + 1, id, placed
end
