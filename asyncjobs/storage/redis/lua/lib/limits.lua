-- admit(…), acquire(…), let_go(limits, queue), left_queue(limits, queue), enter_queue(…): the way of jobs under limits,
-- each step told at its function; to be followed by settle_limits. O(limits of a job), O(log waiters) where one is throttled.
-- @include place
-- @include limit_counts
local function park(id, entry, queue, score, suspect)
  redis.call('ZADD', K.limit_waiters(entry.id .. ':' .. queue), score, id)
  redis.call('HSET', K.job(id), F.state, S.throttled, F.throttled_by, (suspect and 's ' or '- ') .. entry.id,
    F.throttled_at, now)
  more_waiting(entry, queue, 1)
  ledger.throttled[id] = true
end

-- A job that is about to be enqueued: whether its limits let it into its queue; else it is throttled, and `at` counts
-- as when it was enqueued. Nobody overtakes those that wait.
local function admit(id, queue, priority, limits, at, suspect)
  local uses = uses_of(limits)
  for _, use in ipairs(uses) do
    local entry = entry_of(use.id, use)
    if room(entry, queue) <= 0 or (entry.waiting[queue] or 0) > 0 then
      park(id, entry, queue, score_of(tonumber(priority) or 0, at), suspect)
      return false
    end
  end
  for _, use in ipairs(uses) do
    more_enqueued(entry_of(use.id, use), queue, 1)
  end
  return true
end

-- A job that is in its queue is to be granted: whether it got all of its limits; else it is throttled again, where it
-- was before.
local function acquire(id, queue, priority, limits, at, suspect)
  local uses, full = uses_of(limits), nil
  for _, use in ipairs(uses) do
    local entry = entry_of(use.id, use)
    more_enqueued(entry, queue, -1)
    if not full and taken(entry) >= entry.most then
      full = entry
    end
  end
  if full then
    park(id, full, queue, score_of(tonumber(priority) or 0, at), suspect)
    return false
  end
  for _, use in ipairs(uses) do
    local entry = entry_of(use.id, use)
    if use.per == 0 then
      more_running(entry, 1)
    end
    if entry.per > 0 then
      entry.started, entry.starts = entry.started + 1, entry.starts + 1
      touch(entry)
    end
  end
  return true
end

-- A job that was processing isn't any more. `queue`: it is back in its queue.
local function let_go(limits, queue)
  for _, use in ipairs(uses_of(limits)) do
    local entry = entry_of(use.id, use)
    if use.per == 0 then
      more_running(entry, -1)
    end
    if queue then
      more_enqueued(entry, queue, 1)
    end
  end
end

-- A job that was enqueued isn't any more, and isn't granted.
local function left_queue(limits, queue)
  for _, use in ipairs(uses_of(limits)) do
    more_enqueued(entry_of(use.id, use), queue, -1)
  end
end

-- A job that waits for nothing else is enqueued, or throttled; false where its queue can't take it.
local function enter_queue(id, queue, priority, limits, suspect)
  if limits and not admit(id, queue, priority, limits, now, suspect) then
    redis.call('HSET', K.job(id), F.enqueued, now)
    return true
  elseif place(id, queue, priority, now, suspect) then
    redis.call('HSET', K.job(id), F.state, S.enqueued, F.enqueued, now)
    follow.queues[queue] = follow.queues[queue] or true
    return true
  end
  if limits then
    left_queue(limits, queue)
  end
  return false
end

-- A job that was throttled, perhaps by this very script, isn't any more.
local function left_waiters(id, queue, throttled_by)
  ledger.throttled[id] = false
  local limit = string.match(throttled_by or '', '^%S (.*)$')
  if limit and redis.call('ZREM', K.limit_waiters(limit .. ':' .. queue), id) == 1 then
    more_waiting(entry_of(limit), queue, -1)
  end
end
