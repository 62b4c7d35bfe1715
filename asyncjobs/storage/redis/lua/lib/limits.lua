-- admit(id, queue, priority, limits, at), acquire(…), let_go(limits, queue), left_queue(limits, queue), left_waiters(id,
-- queue, throttled_by), enter_queue(id, queue, priority, limits), settle_limits(): jobs under limits (see
-- `LimitStorage`). What a script changes in a limit's counts is kept in `ledger` and written once, by settle_limits, which
-- lets those into their queues that there is room for. Needs `put_off` and `fail_broken`. O(limits of a job) each,
-- O(log waiters) where one is throttled; settle_limits: O(limits touched + jobs let in · log waiters), at most
-- FOLLOW_LIMIT of these in one script.
-- @include place
local ledger = {
  all = {}, entries = {}, touched = {}, numbers = {}, uses = {}, parked = {}, woken = {}, left = {},
}

-- What a job's field says: {most, per, id} of each. A text that many jobs have in common is read once.
local function uses_of(limits)
  local uses = ledger.uses[limits]
  if not uses then
    uses = {}
    for most, per, id in string.gmatch(limits, '(%d+) (%d+) ([^\n]+)') do
      uses[#uses + 1] = { most = tonumber(most), per = tonumber(per), id = id }
    end
    ledger.uses[limits] = uses
  end
  return uses
end

local function name_of(id)
  return string.match(id, '^[^:]*')
end

-- The numbers that count: {most, per}, or nil if none are known. O(1), once a script for each name.
local function numbers_of(name)
  local numbers = ledger.numbers[name]
  if numbers == nil then
    local text = redis.pcall('HGET', K.limits, name)
    local most, per, by_hand = string.match(type(text) == 'string' and text or '', '^(%d+) (%d+)( ?h?)$')
    numbers = most and { most = tonumber(most), per = tonumber(per), by_hand = by_hand == ' h' } or false
    ledger.numbers[name] = numbers
  end
  return numbers or nil
end

local function touch(entry)
  if not entry.touched then
    entry.touched = true
    ledger.touched[#ledger.touched + 1] = entry
  end
end

local function more(entry, field, n)
  entry.counts[field] = math.max((entry.counts[field] or 0) + n, 0)
  touch(entry)
end

-- Starts that have left the window don't count any more.
local function forget_starts(entry)
  local key, horizon, rows = K.limit_starts(entry.id), now - entry.per, nil
  repeat
    rows = redis.pcall('LRANGE', key, 0, 19)
    if rows.err then
      redis.call('UNLINK', key)
      rows = {}
    end
    local gone = 0
    entry.head = nil
    for _, row in ipairs(rows) do
      local at, n = string.match(row, '^(%d+) (%d+)$')
      if at and tonumber(at) > horizon then
        entry.head = tonumber(at)
        break
      end
      more(entry, L.started, -(n or 0))
      gone = gone + 1
    end
    if gone > 0 then
      redis.call('LTRIM', key, gone, -1)
    end
  until gone < 20
  if not entry.head then
    more(entry, L.started, -(entry.counts[L.started] or 0))
  end
end

-- The numbers of the last one who made a job count, unless they were set by hand.
local function declare(use)
  local name = name_of(use.id)
  local numbers = numbers_of(name)
  if numbers and (numbers.by_hand or (numbers.most == use.most and numbers.per == use.per)) then
    return
  end
  redis.call('HSET', K.limits, name, string.format('%.0f %.0f', use.most, use.per))
  ledger.numbers[name] = { most = use.most, per = use.per, by_hand = false }
  for _, entry in ipairs(ledger.all) do
    if name_of(entry.id) == name then
      entry.most, entry.per = use.most, use.per
      if entry.per > 0 then
        forget_starts(entry)
      end
      touch(entry)
    end
  end
  if numbers then
    put_off('n' .. name)
  end
end

-- `use`: as a job knows it, or nil where only the id is known.
local function entry_of(id, use)
  local entry = ledger.entries[id]
  if entry then
    return entry
  end
  local numbers = numbers_of(name_of(id)) or use or { most = 1e9, per = 0 }
  entry = { id = id, most = numbers.most, per = numbers.per, counts = {}, was = {}, starts = 0 }
  local flat = redis.pcall('HGETALL', K.limit(id))
  if flat.err then
    -- Something else was put there, and it mustn't stop what is limited.
    redis.call('UNLINK', K.limit(id))
    flat = {}
  end
  for at = 1, #flat, 2 do
    local n = tonumber(flat[at + 1]) or 0
    entry.counts[flat[at]], entry.was[flat[at]] = n, n
    if n > 0 and string.sub(flat[at], 1, 1) == L.waiting then
      entry.waited = true
    end
  end
  entry.active = #flat > 0
  ledger.entries[id] = entry
  ledger.all[#ledger.all + 1] = entry
  if entry.per > 0 then
    forget_starts(entry)
  end
  return entry
end

local function taken(entry)
  return entry.counts[entry.per > 0 and L.started or L.running] or 0
end

local function room(entry, queue)
  return entry.most - taken(entry) - (entry.counts[L.enqueued .. queue] or 0)
end

local function park(id, entry, queue, score, suspect)
  redis.call('ZADD', K.limit_waiters(entry.id .. ':' .. queue), score, id)
  redis.call('HSET', K.job(id), F.state, S.throttled, F.throttled_by, (suspect and 's ' or '- ') .. entry.id,
    F.throttled_at, now)
  more(entry, L.waiting .. queue, 1)
  ledger.parked[#ledger.parked + 1] = now
  ledger.parked[#ledger.parked + 1] = id
end

-- A job that is about to be enqueued: whether its limits let it into its queue; else it is throttled, and `at` counts
-- as when it was enqueued. Nobody overtakes those that wait.
local function admit(id, queue, priority, limits, at)
  local uses = uses_of(limits)
  for _, use in ipairs(uses) do
    declare(use)
    local entry = entry_of(use.id, use)
    if room(entry, queue) <= 0 or (entry.counts[L.waiting .. queue] or 0) > 0 then
      park(id, entry, queue, score_of(tonumber(priority) or 0, at))
      return false
    end
  end
  for _, use in ipairs(uses) do
    more(entry_of(use.id, use), L.enqueued .. queue, 1)
  end
  return true
end

-- A job that is in its queue is to be granted: whether it got all of its limits; else it is throttled again, where it
-- was before.
local function acquire(id, queue, priority, limits, at, suspect)
  local uses, full = uses_of(limits), nil
  for _, use in ipairs(uses) do
    local entry = entry_of(use.id, use)
    more(entry, L.enqueued .. queue, -1)
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
      more(entry, L.running, 1)
    end
    if entry.per > 0 then
      more(entry, L.started, 1)
      entry.starts = entry.starts + 1
    end
  end
  return true
end

-- A job that was processing isn't any more. `queue`: it is back in its queue.
local function let_go(limits, queue)
  for _, use in ipairs(uses_of(limits)) do
    local entry = entry_of(use.id, use)
    if use.per == 0 then
      more(entry, L.running, -1)
    end
    if queue then
      more(entry, L.enqueued .. queue, 1)
    end
  end
end

-- A job that was enqueued isn't any more, and isn't granted.
local function left_queue(limits, queue)
  for _, use in ipairs(uses_of(limits)) do
    more(entry_of(use.id, use), L.enqueued .. queue, -1)
  end
end

-- A job that waits for nothing else is enqueued, or throttled; false where its queue can't take it.
local function enter_queue(id, queue, priority, limits)
  if limits and not admit(id, queue, priority, limits, now) then
    redis.call('HSET', K.job(id), F.enqueued, now)
    return true
  elseif place(id, queue, priority, now) then
    redis.call('HSET', K.job(id), F.state, S.enqueued, F.enqueued, now)
    follow.queues[queue] = follow.queues[queue] or true
    return true
  end
  if limits then
    left_queue(limits, queue)
  end
  return false
end

-- A job that was throttled isn't any more.
local function left_waiters(id, queue, throttled_by)
  redis.call('ZREM', K.throttled, id)
  local limit = string.match(throttled_by or '', '^%S (.*)$')
  if limit and redis.call('ZREM', K.limit_waiters(limit .. ':' .. queue), id) == 1 then
    more(entry_of(limit), L.waiting .. queue, -1)
  end
end

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
      more(entry, L.waiting .. queue, 1)
      return
    end
  end
  for _, use in ipairs(uses) do
    more(entry_of(use.id, use), L.enqueued .. queue, 1)
  end
  redis.call('HSET', job, F.state, S.enqueued)
  ledger.left[#ledger.left + 1] = id
  follow.queues[queue] = suspect and 'suspect' or follow.queues[queue] or true
  local placed = 1
  if row[5] == queue then
    redis.call('HDEL', job, F.ghost_in)
    redis.call('HINCRBY', K.ghosts, queue, -1)
  elseif suspect then
    placed = redis.pcall('LPUSH', K.suspects(queue), id)
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
  local queues = {}
  for field, n in pairs(entry.counts) do
    if n > 0 and string.sub(field, 1, 1) == L.waiting then
      queues[#queues + 1] = string.sub(field, 2)
    end
  end
  table.sort(queues)
  for _, queue in ipairs(queues) do
    local field = L.waiting .. queue
    while follow.left > 0 and entry.counts[field] > 0 and room(entry, queue) > 0 do
      local rows = redis.pcall('ZPOPMIN', K.limit_waiters(entry.id .. ':' .. queue),
        math.min(room(entry, queue), follow.left))
      if rows.err or #rows == 0 then
        entry.counts[field] = 0
        break
      end
      for at = 1, #rows, 2 do
        follow.left = follow.left - 1
        more(entry, field, -1)
        wake_waiter(rows[at], entry, queue, rows[at + 1])
      end
    end
    if entry.counts[field] > 0 and room(entry, queue) > 0 then
      put_off('w' .. entry.id)
    end
  end
end

local function save(entry)
  local key, set, unset, waiting, active, lasting = K.limit(entry.id), {}, {}, false, false, false
  for field, n in pairs(entry.counts) do
    if n > 0 then
      active = true
      lasting = lasting or field ~= L.started
      waiting = waiting or string.sub(field, 1, 1) == L.waiting
    end
    if n ~= (entry.was[field] or 0) then
      if n > 0 then
        set[#set + 1], set[#set + 2] = field, n
      else
        unset[#unset + 1] = field
      end
      entry.was[field] = n
    end
  end
  if #set > 0 then
    redis.call('HSET', key, unpack(set))
  end
  if #unset > 0 then
    redis.call('HDEL', key, unpack(unset))
  end
  if active ~= entry.active then
    redis.call(active and 'ZADD' or 'ZREM', K.active_limits, unpack(active and { 0, entry.id } or { entry.id }))
    entry.active = active
  end
  if entry.starts > 0 then
    redis.call('RPUSH', K.limit_starts(entry.id), string.format('%.0f %.0f', now, entry.starts))
    redis.call('PEXPIRE', K.limit_starts(entry.id), entry.per + STUB_MS)
    entry.head, entry.starts = entry.head or now, 0
  end
  if entry.per > 0 then
    -- What counts starts alone is of no use when they are past; anything else has to stay.
    if lasting then
      redis.call('PERSIST', key)
    else
      redis.call('PEXPIRE', key, entry.per + STUB_MS)
    end
    if waiting and entry.head then
      if redis.call('ZADD', K.limit_due, string.format('%.0f', entry.head + entry.per), entry.id) == 1 then
        -- Whoever takes the marker hears of the new time.
        for field, n in pairs(entry.counts) do
          if n > 0 and string.sub(field, 1, 1) == L.waiting then
            local queue = string.sub(field, 2)
            follow.queues[queue] = follow.queues[queue] or true
          end
        end
      end
    elseif entry.waited then
      redis.call('ZREM', K.limit_due, entry.id)
    end
    entry.waited = waiting
  end
end

-- Those that were let in stand at the head of their queue, the first of them first.
local function push_woken()
  local by_queue, limits = {}, nil
  for place = #ledger.woken, 1, -1 do
    local queue, id = ledger.woken[place][1], ledger.woken[place][2]
    by_queue[queue] = by_queue[queue] or {}
    by_queue[queue][#by_queue[queue] + 1] = id
  end
  for queue, ids in pairs(by_queue) do
    if type(redis.pcall('LPUSH', K.queue(queue), unpack(ids))) == 'table' then
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
  if #ledger.parked > 0 then
    redis.call('ZADD', K.throttled, unpack(ledger.parked))
  end
  if #ledger.left > 0 then
    redis.call('ZREM', K.throttled, unpack(ledger.left))
  end
  ledger.parked, ledger.left = {}, {}
  for _, entry in ipairs(ledger.all) do
    save(entry)
  end
end
