-- ended(id, state, batch, continued), detach(id, parents, at), detach_rest(id, parents, at), follow_up(): what follows
-- from the end of jobs and batches: counters of batches, continuations, and what follows from those.
--   ended: to be called for each job that has become final in this script.
--   detach: a job that is cancelled or is about to be removed doesn't wait any more; from a byte of its parents on. Up to
--   which byte it got, nil if it is done; else `detach_rest` has `carry_on` do the rest ("l" and the job's id), called
--   when the job's hash is what it will be.
--   follow_up: carries out what follows, also of changes to limits. Counters of the totals go into `follow.counts`, queues that have new jobs
--   into `follow.queues`. No recursion: what follows from what follows goes to the end of the same lists.
-- At most FOLLOW_LIMIT continuations are dealt with in one script (`follow.left`); the rest becomes an entry of
-- K.follow_ups ("r" and the job's id, or "r~" and the batch's), which `carry_on` goes on with. Needs `follow`.
-- O(continuations, log n each + batches concerned).
-- @include follow
-- @include bump
-- @include history
-- @include tell
-- @include due
-- @include place
-- @include edge
-- @include called_off
-- @include unique
local following = { endings = {}, batches = {}, moves = {} }

local function count_in(batch, field, n)
  local moves = following.moves[batch]
  if not moves then
    moves = {}
    following.moves[batch] = moves
    following.batches[#following.batches + 1] = batch
  end
  moves[field] = (moves[field] or 0) + n
end

local function ended(id, state, batch, continued)
  if batch then
    count_in(batch, state, 1)
  end
  if continued then
    following.endings[#following.endings + 1] = { id, state }
  end
end

local function put_off(entry)
  redis.call('ZADD', K.follow_ups, 'NX', now, entry)
  follow.put_off = true
end

local function total_of(counter)
  follow.counts[counter] = (follow.counts[counter] or 0) + 1
end

-- A job that no queue takes has failed.
local function fail_broken(id)
  local row = redis.call('HMGET', K.job(id), F.batch, F.continued, F.unique)
  redis.call('HSET', K.job(id), F.state, S.failed)
  redis.call('ZADD', K.failed, now, id)
  add_history(id, 'failed', nil, nil, cmsgpack.pack({ 'BrokenRecord', 'its record names no queue that takes it', '' }))
  total_of('failed')
  if row[3] then
    release_unique(id, row[3])
  end
  ended(id, S.failed, row[1], row[2])
end

-- @include let_in
-- A few parents are always within the bound, so that ending many jobs that wait doesn't leave a piece of work for each.
local function detach(id, parents, at)
  local left = math.max(follow.left, 4)
  while true do
    local first, last, code, node = string.find(parents, '(%d+) (%S+)', at)
    if not first then
      return nil
    elseif left <= 0 then
      return at
    end
    left, follow.left, at = left - 1, follow.left - 1, last + 1
    if not is_remote(tonumber(code)) then
      leave(node, id)
    elseif redis.call('HEXISTS', K.job(id), RECEIPT .. node) == 1 then
      redis.call('HDEL', K.outbox, 'A ' .. node .. ' ' .. id)
      redis.call('HSET', K.outbox, 'D ' .. node .. ' ' .. id, '')
      put_off('x')
    end
  end
end

local function detach_rest(id, parents, at)
  if at then
    redis.call('HSET', K.job(id), F.parents, parents, F.attached, at)
    put_off('l' .. id)
  end
end

-- A job that waits for nothing any more is due later, or enqueued.
local function start(id, queue, priority, timing, limits)
  local job, delay, due, expires = K.job(id), nil, nil, nil
  if timing then
    delay, due, expires = string.match(timing, '^(%S+) (%S+) ?(%S*)$')
    due = math.max(now + delay, tonumber(due))
    if expires ~= '' then
      redis.call('HSET', job, F.deadline, string.format('%.0f', due + expires))
    end
  end
  if due and due > now then
    redis.call('HSET', job, F.state, S.scheduled)
    redis.call('ZADD', K.scheduled, due, id)
    follow.due = math.min(follow.due or due, due)
    if due_head(K.scheduled) == due then
      follow.queues[queue] = follow.queues[queue] or true
    end
  elseif not enter_queue(id, queue or '', priority, limits) then
    fail_broken(id)
  end
end

-- One of a job's parents has ended as it wished. `output`: the parent's result, where it is handed over.
local function met(id, node, output)
  local job = K.job(id)
  local row = redis.pcall('HMGET', job, F.state, F.queue, F.priority, F.timing, F.limits)
  if row[1] ~= S.awaiting and row[1] ~= S.staging then
    return
  end
  if output then
    redis.call('HSET', job, F.takes_outputs, '1', OUTPUT .. node, output)
    mark(job, 'I')
  end
  if redis.call('HINCRBY', job, F.unmet, -1) <= 0 and row[1] == S.awaiting then
    redis.call('ZREM', K.awaiting, id)
    start(id, row[2], row[3], row[4], row[5])
  end
end

-- One of a job's parents has ended so that the job will never run.
local function unmet(id, node, ending)
  local job = K.job(id)
  local row = redis.pcall('HMGET', job, F.state, F.attempt, F.inboxes, F.batch, F.continued, F.parents,
    F.unique)
  if row[1] ~= S.awaiting and row[1] ~= S.staging then
    return
  end
  detach_rest(id, row[6] or '', detach(id, row[6] or '', 1))
  if row[1] == S.staging and redis.call('HGET', K.batch(row[4] or ''), B.state) == STUB then
    -- It is being swept away together with its parent.
    return
  end
  redis.call('ZREM', K.awaiting, id)
  redis.call('HSET', job, F.state, S.cancelled)
  redis.call('ZADD', K.cancelled, now, id)
  add_history(id, 'cancelled', row[2], nil, why_unmet(node, ending))
  total_of('cancelled')
  if row[3] then
    tell(job, id, row[3])
  end
  if row[7] then
    release_unique(id, row[7])
  end
  ended(id, S.cancelled, row[4], row[5])
end

-- Those that wait for a job or batch hear of its end.
local function resolve(node, ending)
  local key = continuations_of(node)
  local least = (ending == '' or ending == S.succeeded) and 0 or 4
  local weight = 1
  if ending == S.succeeded and not is_batch(node) then
    -- A large result, which is copied for each that takes it, costs as much time as many of them.
    weight = weight + math.floor(redis.call('HSTRLEN', key_of(node), F.result) / 4096)
  end
  while follow.left > 0 do
    local rows = redis.call('ZRANGEBYSCORE', key, least, 15, 'WITHSCORES', 'LIMIT', 0,
      math.max(1, math.floor(follow.left / weight)))
    if #rows == 0 then
      break
    end
    local ids = {}
    for at = 1, #rows, 2 do
      ids[#ids + 1] = rows[at]
    end
    redis.call('ZREM', key, unpack(ids))
    follow.left = follow.left - #ids * weight
    local result = nil
    for at = 1, #rows, 2 do
      local id, code = rows[at], tonumber(rows[at + 1])
      local is_met = what_follows(code, ending) == Follow.MET
      local output = nil
      if is_met and takes_output(code) then
        result = result or result_of(node)
        output = result.value
      end
      if is_remote(code) then
        redis.call('HSET', K.outbox, 'E ' .. id .. ' ' .. node, ending .. '\n' .. (output and '1' .. output or '0'))
        put_off('x')
      elseif is_met then
        met(id, node, output)
      else
        unmet(id, node, ending)
      end
    end
  end
  if redis.call('EXISTS', key) == 0 then
    redis.call('HDEL', key_of(node), F.continued)
  elseif follow.left <= 0 and redis.call('ZCOUNT', key, least, 15) > 0 then
    put_off('r' .. node)
  end
end

-- A batch all of whose members have ended is finished.
local function finish_batch(batch)
  local key = K.batch(batch)
  local row = redis.call('HMGET', key, B.state, B.total, S.succeeded, S.failed, S.cancelled, B.nested,
    B.nested_succeeded, B.nested_failed, B.parent, B.continued, B.inboxes)
  local n = {}
  for at = 2, 8 do
    n[at] = tonumber(row[at] or 0)
  end
  if row[1] ~= S.processing or n[2] > n[3] + n[4] + n[5] or n[6] > n[7] + n[8] then
    return
  end
  local ending = S.failed
  if n[4] + n[5] + n[8] == 0 then
    ending = S.succeeded
  elseif called_off(batch) then
    ending = S.cancelled
  end
  redis.call('HSET', key, B.state, ending, B.finished, now)
  redis.call('ZADD', K.batches, string.format('%.0f', BATCH_FINISHED + now), batch)
  if row[11] then
    tell(key, batch, row[11])
  end
  if row[9] then
    count_in(row[9], ending == S.succeeded and B.nested_succeeded or B.nested_failed, 1)
  end
  if row[10] then
    following.endings[#following.endings + 1] = { '~' .. batch, ending }
  end
end

-- A finished batch is open again, and so is what it is nested in: `field` counts n fewer members.
local function reopen_batch(batch, field, n)
  while batch do
    local key = K.batch(batch)
    local row = redis.call('HMGET', key, B.state, B.created, B.parent)
    local state = row[1]
    if not state or state == STUB then
      return
    end
    if n > 0 then
      redis.call('HINCRBY', key, field, -n)
    end
    if state == S.processing or state == S.staging then
      return
    end
    redis.call('HSET', key, B.state, S.processing)
    redis.call('HDEL', key, B.finished)
    redis.call('ZADD', K.batches, string.format('%.0f', BATCH_OPEN + row[2]), batch)
    batch, field, n = row[3], state == S.succeeded and B.nested_succeeded or B.nested_failed, 1
  end
end

local function follow_up_ends()
  local batches, endings = following.batches, following.endings
  local batch, ending = 1, 1
  while batch <= #batches or ending <= #endings do
    if batch <= #batches then
      local name = batches[batch]
      local moves = following.moves[name]
      following.moves[name] = nil
      batch = batch + 1
      if redis.call('EXISTS', K.batch(name)) == 1 then
        for field, n in pairs(moves) do
          redis.call('HINCRBY', K.batch(name), field, n)
        end
        finish_batch(name)
      end
    else
      resolve(endings[ending][1], endings[ending][2])
      ending = ending + 1
    end
  end
  following.batches, following.endings = {}, {}
end

local function follow_up()
  repeat
    follow_up_ends()
    if #ledger.touched > 0 then
      settle_limits()
    end
  until #following.batches == 0 and #following.endings == 0
end
