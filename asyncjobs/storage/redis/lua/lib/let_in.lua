-- settle_limits(): lets jobs into their queues that there is room for, of the limits that this script has changed. Needs
-- `fail_broken`. O(limits changed + jobs let in · log waiters), at most FOLLOW_LIMIT of these in one script; an entry of
-- K.follow_ups has carry_on do the rest. To be followed by save_limits.
-- @include limits
-- One that waited has room: into its queue, unless another of its limits has none.
local function wake_waiter(id, from, queue, score)
  local job = K.job(id)
  local row = redis.pcall('HMGET', job, F.state, F.priority, F.limits, F.throttled_by, F.ghost_in)
  if row[1] ~= S.throttled or not row[3] then
    return
  end
  local uses, suspect = uses_of(row[3]), string.sub(row[4] or '', 1, 1) == 's'
  for _, use in ipairs(uses) do
    local entry = entry_of(use.id, use)
    if entry ~= from and room(entry, queue) <= 0 then
      redis.call('ZADD', K.limit_waiters(entry.id .. ':' .. queue), score, id)
      redis.call('HSET', job, F.throttled_by, (suspect and 's ' or '- ') .. entry.id)
      more_waiting(entry, queue, 1)
      return
    end
  end
  for _, use in ipairs(uses) do
    more_enqueued(entry_of(use.id, use), queue, 1)
  end
  redis.call('HSET', job, F.state, S.enqueued)
  ledger.throttled[id] = false
  follow.queues[queue] = suspect and 'suspect' or follow.queues[queue] or true
  local placed = 1
  if row[5] == queue then
    redis.call('HDEL', job, F.ghost_in)
    redis.call('HINCRBY', K.ghosts, queue, -1)
  elseif suspect then
    placed = redis.pcall('RPUSH', K.suspects(queue), id)
  elseif row[2] and row[2] ~= '0' then
    placed = redis.pcall('ZADD', K.priority(queue), score, id)
  else
    ledger.woken[#ledger.woken + 1] = { queue, id }
  end
  if type(placed) == 'table' then
    left_queue(row[3], queue)
    fail_broken(id)
  end
end

local function wake_waiters(entry)
  if entry.waits == 0 or taken(entry) >= entry.most then
    return
  end
  local queues = {}
  for queue, n in pairs(entry.waiting) do
    if n > 0 then
      queues[#queues + 1] = queue
    end
  end
  table.sort(queues)
  for _, queue in ipairs(queues) do
    while follow.left > 0 and entry.waiting[queue] > 0 and room(entry, queue) > 0 do
      local rows = redis.pcall('ZPOPMIN', K.limit_waiters(entry.id .. ':' .. queue),
        math.min(room(entry, queue), follow.left))
      if rows.err or #rows == 0 then
        more_waiting(entry, queue, -entry.waiting[queue])
        break
      end
      for at = 1, #rows, 2 do
        follow.left = follow.left - 1
        more_waiting(entry, queue, -1)
        wake_waiter(rows[at], entry, queue, rows[at + 1])
      end
    end
    if entry.waiting[queue] > 0 and room(entry, queue) > 0 then
      put_off('w' .. entry.id)
    end
  end
end

-- Those that were let in stand at the tail of their queue: so keys take turns, however many jobs wait for each.
local function push_woken()
  local by_queue, limits = {}, nil
  for place = 1, #ledger.woken do
    local queue, id = ledger.woken[place][1], ledger.woken[place][2]
    by_queue[queue] = by_queue[queue] or {}
    by_queue[queue][#by_queue[queue] + 1] = id
  end
  for queue, ids in pairs(by_queue) do
    if type(redis.pcall('RPUSH', K.queue(queue), unpack(ids))) == 'table' then
      for _, id in ipairs(ids) do
        limits = redis.call('HGET', K.job(id), F.limits)
        left_queue(limits, queue)
        fail_broken(id)
      end
    end
  end
  ledger.woken = {}
end

local function settle_limits()
  while #ledger.touched > 0 do
    local touched = ledger.touched
    ledger.touched = {}
    for _, entry in ipairs(touched) do
      entry.touched = false
      wake_waiters(entry)
    end
    push_woken()
  end
end
