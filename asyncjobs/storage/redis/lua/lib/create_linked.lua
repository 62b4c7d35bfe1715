-- create_linked(id, queue, priority, delay, due, how, first, last, flush), join_all(): makes a job that waits for parents,
-- is a member of a batch, is under limits, has a unique key or expires; its fields are ARGV[first] to ARGV[last]. `how`:
-- "batch expires replaces": "-" for none, ms or 0, 1 if it replaces who holds its key. `flush` is called before anything is
-- put into a queue. A Created code, or nil if its queue can't take it, and then nothing of it is kept; with CONFLICT, the
-- holder; and whether it is left to the caller to push it to its queue. When all are made, the second one adds the new
-- members to their batches, before conclude is called.
-- O(parents + limits), O(members · log n).
-- @include attach_parents
-- @include join_batch
-- @include called_off
-- @include cancel_job
-- @include take_controlled
-- @include comes_before
local joining = { batches = {}, ids = {} }
local known = {}

local function know(queue)
  if not known[queue] then
    redis.call('HSETNX', K.queues, queue, '')
    known[queue] = true
  end
end

local function replace_holder(holder, id)
  if redis.pcall('HGET', K.job(holder), F.state) ~= S.processing then
    cancel_job(holder, cmsgpack.pack({ 'Replaced', 'job ' .. id .. ' of the same unique key took its place', '' }))
  end
end

-- A job takes its key from who has it, if anybody.
local function take_unique(id, unique, holder, overdue)
  if holder then
    replace_holder(holder, id)
  elseif overdue then
    cancel_job(overdue, nil, 'expired')
  end
  claim_unique(id, unique)
end

-- One that can run at once.
local function create_ready(id, queue, priority, flags, expires, unique, holder, overdue, limits, first, last, flush)
  local job = K.job(id)
  redis.call('HSET', job, F.state, S.enqueued, F.created, now, F.queue, queue, F.linked, flags .. ':',
    unpack(ARGV, first, last))
  if priority ~= '0' then
    redis.call('HSET', job, F.priority, priority)
  end
  if expires ~= '0' then
    redis.call('HSET', job, F.deadline, string.format('%.0f', now + expires))
  end
  if holder or overdue then
    flush()
  end
  if unique then
    take_unique(id, unique, holder, overdue)
  end
  if limits then
    declare_limits(limits)
  end
  if limits and not admit(id, queue, priority, limits, now) then
    know(queue)
    return Created.CREATED
  elseif priority == '0' then
    return Created.CREATED, nil, true
  end
  flush()
  if not place(id, queue, priority, now) then
    unmake(id)
    return nil
  end
  follow.queues[queue] = true
  return Created.CREATED
end

local function create_linked(id, queue, priority, delay, due, how, first, last, flush)
  local job, parents, staging, finished = K.job(id), '', false, false
  local unique, limits, flags = nil, nil, ''
  local batch, expires, replaces = string.match(how, '^(%S+) (%S+) (%S+)$')
  for at = first, last, 2 do
    if ARGV[at] == F.parents then
      parents = ARGV[at + 1]
    elseif ARGV[at] == F.limits then
      limits, flags = ARGV[at + 1], flags .. 'L'
    elseif ARGV[at] == F.unique then
      unique, flags = ARGV[at + 1], flags .. 'U'
    end
  end
  if expires ~= '0' then
    flags = flags .. 'X'
  end
  if batch ~= '-' then
    local row = redis.call('HMGET', K.batch(batch), B.state)
    if not row[1] or row[1] == STUB then
      return Created.BATCH_GONE
    elseif called_off(batch) then
      return Created.BATCH_CANCELLED
    end
    staging = row[1] == S.staging
    finished = not staging and row[1] ~= S.processing
  end
  local n = 0
  for code, node in string.gmatch(parents, '(%d+) (%S+)') do
    n = n + 1
    if n <= FOLLOW_LIMIT and not is_remote(tonumber(code)) and ending_of(node) == '' then
      return Created.PARENT_GONE
    end
  end
  local holder, overdue = nil, nil
  if unique then
    holder, overdue = holder_of(string.match(unique, '^%S+ %S+ (.*)$'))
    -- What it is to run after doesn't make way for it: then neither would ever run.
    if holder and (replaces == '0' or (n > 0 and comes_before(holder, parents))) then
      return Created.CONFLICT, holder
    end
  end

  if n == 0 and batch == '-' and math.max(now + delay, tonumber(due)) <= now then
    return create_ready(id, queue, priority, flags, expires, unique, holder, overdue, limits, first, last, flush)
  end
  flush()
  local timing = nil
  if delay ~= '0' or due ~= '0' or expires ~= '0' then
    timing = delay .. ' ' .. due .. (expires ~= '0' and ' ' .. expires or '')
  end
  redis.call('HSET', job, F.state, staging and S.staging or S.awaiting, F.created, now, F.queue, queue, F.enqueued, 0,
    F.linked, flags .. ':' .. (batch ~= '-' and batch or ''), unpack(ARGV, first, last))
  if n > 0 then
    redis.call('HSET', job, F.unmet, n)
  end
  if timing and (n > 0 or staging) then
    redis.call('HSET', job, F.timing, timing)
  end
  if unique then
    take_unique(id, unique, holder, overdue)
  end
  if limits then
    declare_limits(limits)
  end
  know(queue)
  if priority ~= '0' then
    redis.call('HSET', job, F.priority, priority)
  end
  if finished then
    -- It is open from now on, also for those that come after this one in the same call.
    join_batch(batch, { id })
  elseif batch ~= '-' then
    local ids = joining.ids[batch]
    if not ids then
      ids = {}
      joining.ids[batch] = ids
      joining.batches[#joining.batches + 1] = batch
    end
    ids[#ids + 1] = id
  end
  if n > 0 then
    if not staging then
      redis.call('ZADD', K.awaiting, now, id)
    end
    attach_parents(id, parents, 1)
  elseif not staging then
    start(id, queue, priority, timing, limits)
  end
  return Created.CREATED
end

local function join_all()
  for _, batch in ipairs(joining.batches) do
    join_batch(batch, joining.ids[batch])
  end
end
