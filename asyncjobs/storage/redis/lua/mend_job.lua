-- mend_job: a job is where its state says, and nowhere else; one whose state can't be read has failed.
-- KEYS: t. ARGV: now, apply ("" = only say what would be done), id, stamp (when it was enqueued, began and was throttled, where its id is
-- known to have been missing from its queue at a later time; else "").
-- Reply: what is done, "" if nothing is wrong; after a "!", why nothing can be done. O(log n + what follows, bounded);
-- O(ids in its queue) for one that is enqueued and has no stamp, or is said to be left in a queue.
-- @include now
-- @include repairs
-- @include note_repair
-- @include fail_job
-- @include cancel_job
-- @include times_in
-- @include conclude
local id = A.id
local job = K.job(id)
local row = redis.pcall('HMGET', job, F.state, F.queue, F.priority, F.worker, F.exchange, F.attempt, F.recoveries,
  F.cancel_requested, F.batch, F.continued, F.expires, F.ghost_in, F.linked, F.takes_outputs,
  F.enqueued, F.created, F.started, F.limits, F.throttled_by, F.unique, F.deadline, F.throttled_at)
if row.err then
  return ''
end
local state, queue, why_not = row[1], row[2], nil
local is_there = state ~= STUB and redis.call('EXISTS', job) == 1
local lists = {
  { S.awaiting, K.awaiting, 'awaiting' }, { S.scheduled, K.scheduled, 'scheduled' },
  { S.throttled, K.throttled, 'throttled' }, { S.retrying, K.retrying, 'retrying' }, { S.succeeded, K.succeeded, 'succeeded' },
  { S.failed, K.failed, 'failed' }, { S.cancelled, K.cancelled, 'cancelled' },
}
local is_final = state == S.succeeded or state == S.failed or state == S.cancelled

local function number_of(value)
  return value and string.find(value, '^%-?%d+$') and value or '0'
end

local function recover()
  redis.call('SREM', K.held(row[4] or ''), id)
  if row[8] then
    redis.call('HDEL', job, F.cancel_requested)
    end_cancelled(id)
  elseif not queue or type(redis.pcall('RPUSH', K.suspects(queue), id)) ~= 'number' then
    fail_job(id, 'its worker is gone, and its record names no queue to go back to', true)
  else
    redis.pcall('HINCRBY', job, F.recoveries, 1)
    redis.call('HSET', job, F.state, S.enqueued, F.enqueued, now)
    follow.queues[queue] = true
    total_of('recovered')
  end
end

local function mend_enqueued()
  if not queue then
    return to_mend('it has failed, for its record names no queue', function()
      fail_job(id, 'its record names no queue', true)
    end)
  end
  local suspects, prior, plain = 0, 0, 0
  if A.stamp == '' then
    suspects, prior, plain = times_in(queue, id)
  elseif A.stamp ~= number_of(row[15] or row[16]) .. ' ' .. number_of(row[17]) .. ' ' .. number_of(row[22]) then
    -- It has been taken or put there since.
    return
  end
  if not suspects then
    why_not = 'a key of queue ' .. queue .. ' holds something else'
  elseif suspects + prior + plain == 0 then
    to_mend('it is put at the tail of queue ' .. queue, function()
      if place(id, queue, row[3], now, (tonumber(row[7]) or 0) > 0) then
        redis.call('HSET', job, F.enqueued, now)
        follow.queues[queue] = true
      else
        fail_job(id, 'its record names no queue that takes it', true)
      end
    end)
  elseif suspects + prior + plain > 1 then
    to_mend('it stays in queue ' .. queue .. ' only once', function()
      if suspects > 1 then
        redis.call('LREM', K.suspects(queue), 1 - suspects, id)
      end
      if suspects > 0 and prior > 0 then
        redis.call('ZREM', K.priority(queue), id)
      end
      if suspects + prior > 0 and plain > 0 then
        redis.call('LREM', K.queue(queue), 0, id)
      elseif plain > 1 then
        redis.call('LREM', K.queue(queue), 1 - plain, id)
      end
    end)
  end
end

local function mend_processing()
  local worker = redis.pcall('HMGET', K.worker(row[4] or ''), W.number, W.reaping)
  local held = redis.pcall('SISMEMBER', K.held(row[4] or ''), id)
  if worker.err or type(held) == 'table' then
    why_not = 'a key of its worker holds something else'
  elseif row[4] and row[5] and worker[1] and not worker[2] then
    if held == 0 then
      to_mend('worker ' .. row[4] .. ' holds its lease again', function()
        redis.call('SADD', K.held(row[4]), id)
      end)
    end
  elseif held == 0 or not row[5] then
    local why = row[5] and 'its worker is gone' or 'nobody can end it, for its record doesn\'t name its lease'
    to_mend('it is taken back as that of a dead worker: ' .. why, recover)
  end
end

-- Under which limit a job should wait: that which it says, if it is under it at all.
local function mend_throttled()
  local uses, limit = row[18] and uses_of(row[18]) or {}, nil
  for _, use in ipairs(uses) do
    limit = limit or use
    if use.id == string.sub(row[19] or '', 3) then
      limit = use
    end
  end
  if not limit or not queue then
    return to_mend('it is enqueued, for its record names no limit that it could wait for', function()
      if queue and place(id, queue, row[3], now) then
        redis.call('HSET', job, F.state, S.enqueued)
        redis.call('ZREM', K.throttled, id)
        follow.queues[queue] = true
      else
        fail_job(id, 'its record names no queue that takes it', true)
      end
    end)
  end
  if string.sub(row[19] or '', 3) ~= limit.id or not redis.call('ZSCORE', K.limit_waiters(limit.id .. ':' .. queue), id) then
    to_mend('it waits for limit ' .. limit.id .. ' again', function()
      park(id, entry_of(limit.id, limit), queue, score_of(tonumber(row[3]) or 0, tonumber(row[15] or row[16]) or now),
        string.sub(row[19] or '', 1, 1) == 's')
    end)
  end
end

local function mend_staging()
  local batch = row[9] and redis.pcall('HGET', K.batch(row[9]), F.state)
  local is_known = type(batch) == 'table' or batch
  if not row[9] or (not is_known and redis.call('EXISTS', K.members(row[9])) == 0) then
    to_mend('it is cancelled, for its batch is gone', function()
      cancel_job(id)
    end)
  end
end

local function mend_expiry()
  local at = redis.pcall('ZSCORE', K.expire, id)
  if type(at) == 'string' and not (is_there and is_final and row[11]) then
    to_mend('it is not removed at a time of its own any more', function()
      redis.call('ZREM', K.expire, id)
    end)
  elseif not at and is_there and is_final and row[11] then
    to_mend('it is kept as long as others of its list, as its own time is lost', function()
      redis.call('HDEL', job, F.expires)
      redis.pcall('HDEL', K.meta, M.cursor .. state)
    end)
  end
end

local function mend_links()
  local batch, flags = links_of(row[13] or ':')
  batch = batch or false
  local wanted = ''
  for flag, is_set in pairs({ C = row[10], I = row[14], L = row[18], U = row[20], X = row[21] }) do
    if is_set and not string.find(flags, flag, 1, true) then
      wanted = wanted .. flag
    end
  end
  if batch ~= row[9] or wanted ~= '' then
    to_mend('what its end has to set off is noted in its record again', function()
      redis.call('HSET', job, F.linked, wanted .. flags .. ':' .. (row[9] or ''))
    end)
  end
end

for _, list in ipairs(lists) do
  local score = redis.pcall('ZSCORE', list[2], id)
  if type(score) == 'table' then
    why_not = state == list[1] and 'the key of its list holds something else' or why_not
  elseif is_there and state == list[1] then
    if not score then
      to_mend('it is put into the list of those that are ' .. list[3], function()
        redis.call('ZADD', list[2], now, id)
        if state == S.scheduled or state == S.retrying then
          follow.queues[queue or ''] = true
        end
      end)
    end
  elseif score then
    to_mend('it is taken out of the list of those that are ' .. list[3], function()
      redis.call('ZREM', list[2], id)
    end)
  end
end
mend_expiry()
if is_there then
  if state == S.enqueued then
    mend_enqueued()
  elseif state == S.processing then
    mend_processing()
  elseif state == S.throttled then
    mend_throttled()
  elseif state == S.staging then
    mend_staging()
  elseif not (is_final or state == S.awaiting or state == S.scheduled or state == S.retrying) then
    to_mend('it has failed, for its state can\'t be read', function()
      -- Whether its batch has counted it isn't known: that is another matter.
      fail_job(id, 'its record doesn\'t say what state it is in', false)
    end)
  end
  mend_links()
  if row[12] then
    local suspects, prior, plain = times_in(row[12], id)
    local of_itself = state == S.enqueued and row[12] == queue and 1 or 0
    if suspects and suspects + prior + plain <= of_itself then
      to_mend('its id isn\'t said to be left in queue ' .. row[12] .. ' any more', function()
        redis.call('HDEL', job, F.ghost_in)
      end)
    end
  end
end
local text = mended()
if text == '' and why_not then
  return '!' .. why_not
end
if A.apply ~= '' and text ~= '' then
  if is_there then
    note_repair(id, row[6], text)
  end
  conclude({})
end
return text
