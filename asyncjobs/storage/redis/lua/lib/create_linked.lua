-- create_linked(id, queue, priority, delay, due, how, first, last), join_all(): makes a job that waits for parents, is a
-- member of a batch, is under limits, has a unique key or expires; its fields are ARGV[first] to ARGV[last]. `how`: "batch
-- expires replaces": "-" for none, ms or 0, 1 if it replaces who holds its key. A Created code, and with CONFLICT the
-- holder. When all are made, the second one adds the new members to their batches, before conclude is called.
-- O(parents + limits), O(members · log n).
-- @include attach_parents
-- @include join_batch
-- @include called_off
-- @include cancel_job
local joining = { batches = {}, ids = {} }

local function replace_holder(holder, id)
  if redis.pcall('HGET', K.job(holder), F.state) ~= S.processing then
    cancel_job(holder, cmsgpack.pack({ 'Replaced', 'job ' .. id .. ' of the same unique key took its place', '' }))
  end
end

local function create_linked(id, queue, priority, delay, due, how, first, last)
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
  local holder = nil
  if unique then
    holder = holder_of(string.match(unique, '^%S+ %S+ (.*)$'))
    if holder and replaces == '0' then
      return Created.CONFLICT, holder
    end
  end

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
  if holder and holder ~= id then
    replace_holder(holder, id)
  end
  if unique then
    claim_unique(id, unique)
  end
  redis.call('HSETNX', K.queues, queue, '')
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
