-- create_linked(id, queue, priority, delay, due, batch, first, last), join_all(): makes a job that waits for parents or
-- is a member of a batch ("-": of none); its fields are ARGV[first] to ARGV[last]. A Created code. When all are made, the
-- second one adds the new members to their batches, before conclude is called. O(parents), O(members · log n).
-- @include attach_parents
-- @include join_batch
-- @include called_off
local joining = { batches = {}, ids = {} }

local function create_linked(id, queue, priority, delay, due, batch, first, last)
  local job, parents, staging, finished = K.job(id), '', false, false
  for at = first, last, 2 do
    if ARGV[at] == F.parents then
      parents = ARGV[at + 1]
    end
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

  redis.call('HSET', job, F.state, staging and S.staging or S.awaiting, F.created, now, F.queue, queue, F.enqueued, 0,
    F.unmet, n, F.linked, ':' .. (batch ~= '-' and batch or ''), unpack(ARGV, first, last))
  redis.call('HSETNX', K.queues, queue, '')
  if priority ~= '0' then
    redis.call('HSET', job, F.priority, priority)
  end
  local timing = nil
  if delay ~= '0' or due ~= '0' then
    timing = delay .. ' ' .. due
    redis.call('HSET', job, F.timing, timing)
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
    start(id, queue, priority, timing)
  end
  return Created.CREATED
end

local function join_all()
  for _, batch in ipairs(joining.batches) do
    join_batch(batch, joining.ids[batch])
  end
end
