-- create: makes jobs, enqueued or scheduled. An id that exists is left as it is.
-- KEYS: t. ARGV: now, then for each job: id, queue, timing, n, and n fields and values.
--   timing: "" (enqueued now, priority 0), "priority delay due", or for a job with parents, a batch, limits, a unique key
--   or an expiry that and "batch expires replaces" (see lib/create_linked).
-- Reply: a digit (Created) for each job, "!" where its queue's key can't take it, and then nothing of it is kept; a "+" if
-- there are follow-ups; and with a space before each, who holds the unique key of those that found it held.
-- Cost: O(jobs + parents + limits), O(log n) for those with a priority, a due time, parents, a batch or limits.
-- A full Redis refuses the first HSET, before anything is written; once a write is done, it lets the rest through.
-- @include now
-- @include wake
-- @include place
-- @include due
-- @include workflow
local call = redis.call
local codes, queues, tails, earliest, linked, holders = {}, {}, {}, nil, false, ''

local function tail_of(queue)
  local tail = tails[queue]
  if not tail then
    tail = { ids = {}, at = {} }
    tails[queue] = tail
    queues[#queues + 1] = queue
  end
  return tail
end

-- Those that are to be pushed at once are, so that one that comes after them in the call comes after them in its queue.
local function push_all()
  for _, queue in ipairs(queues) do
    local tail = tails[queue]
    local pushed = #tail.ids == 0 or redis.pcall('RPUSH', K.queue(queue), unpack(tail.ids))
    if type(pushed) == 'table' then
      for k, id in ipairs(tail.ids) do
        call('UNLINK', K.job(id))
        codes[tail.at[k]] = '!'
      end
    else
      wake(queue)
    end
  end
end

local function earliest_due()
  local scheduled, retrying = due_head(K.scheduled), due_head(K.retrying)
  return math.min(scheduled or math.huge, retrying or math.huge)
end

local i, n = A.rest, #ARGV
while i <= n do
  local id, queue, timing, first = ARGV[i], ARGV[i + 1], ARGV[i + 2], i + 4
  local last = i + 3 + tonumber(ARGV[i + 3])
  i = last + 1
  local job, at = K.job(id), #codes + 1
  if call('EXISTS', job) == 1 then
    codes[at] = Created.EXISTS
  else
    codes[at] = Created.CREATED
    if timing == '' then
      call('HSET', job, F.state, S.enqueued, F.created, now, F.queue, queue, unpack(ARGV, first, last))
      local tail = tail_of(queue)
      tail.ids[#tail.ids + 1] = id
      tail.at[#tail.at + 1] = at
    else
      local priority, delay, due, how = string.match(timing, '^(%S+) (%S+) (%S+) ?(.*)$')
      local ready = how == ''
      if ready then
        due = math.max(now + delay, tonumber(due))
        local state = due > now and S.scheduled or S.enqueued
        call('HSET', job, F.state, state, F.created, now, F.queue, queue, unpack(ARGV, first, last))
        if priority ~= '0' then
          call('HSET', job, F.priority, priority)
        end
      end
      if not ready then
        push_all()
        queues, tails = {}, {}
        local code, holder = workflow().create_linked(id, queue, priority, delay, due, how, first, last)
        codes[at], linked, earliest = code, true, nil
        if holder then
          holders = holders .. ' ' .. holder
        end
      elseif due > now then
        call('HSET', job, F.enqueued, 0)
        earliest = earliest or earliest_due()
        if type(redis.pcall('ZADD', K.scheduled, due, id)) == 'table' then
          call('UNLINK', job)
          codes[at] = '!'
        elseif due < earliest then
          earliest = due
          wake(queue)
        elseif call('HEXISTS', K.queues, queue) == 0 then
          call('HSET', K.queues, queue, '')
        end
      elseif priority ~= '0' then
        if place(id, queue, priority, now) then
          tail_of(queue)
        else
          call('UNLINK', job)
          codes[at] = '!'
        end
      else
        local tail = tail_of(queue)
        tail.ids[#tail.ids + 1] = id
        tail.at[#tail.at + 1] = at
      end
    end
  end
end

push_all()
if linked then
  workflow().join_all()
  workflow().conclude({})
end
return table.concat(codes) .. (linked and workflow().follow.put_off and '+' or '') .. holders
