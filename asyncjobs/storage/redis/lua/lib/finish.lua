-- finish_all(counts, lists, touched, suspect): carries out every finish whose lease is this worker's. A string of
-- codes, and the worker's suspect afterwards. O(1) each, O(log n) for the sorted sets.
-- @include links
local function finish_all(counts, lists, touched, suspect)
  local call, pcall = redis.call, redis.pcall
  local codes, done, cancels = {}, {}, {}
  local held = K.held(A.worker)

  local function count(counter)
    counts[counter] = (counts[counter] or 0) + 1
  end

  local function enter(state, id)
    local list = lists[state]
    if not list then
      list = {}
      lists[state] = list
    end
    list[#list + 1] = now
    list[#list + 1] = id
  end

  local function waits(key, state, id, delay)
    call('HSET', K.job(id), F.state, state)
    call('ZADD', key, now + delay, id)
  end

  local function other(id, row, how, err)
    local job = K.job(id)
    local outcome, delay, retention = string.match(how, '^(%d) (%S+) (%S+)$')
    outcome, delay, retention = tonumber(outcome), tonumber(delay), tonumber(retention)
    local more = pcall('HMGET', job, F.attempt, F.queue, F.priority, F.batch, F.continued)
    local state, event, back = nil, nil, nil
    if outcome == Outcome.SUCCEEDED then
      state = S.succeeded
      count('succeeded')
    elseif outcome == Outcome.FAILED then
      state, event = S.failed, 'failed'
      pcall('HINCRBY', job, F.failures, 1)
      count('failed')
    elseif outcome == Outcome.CANCELLED or row[4] then
      state, event = S.cancelled, 'cancelled'
      count('cancelled')
    elseif outcome == Outcome.RETRY then
      event = 'retrying'
      pcall('HINCRBY', job, F.failures, 1)
      waits(K.retrying, S.retrying, id, delay)
      count('retried')
    elseif outcome == Outcome.SNOOZE then
      event = 'snoozed'
      pcall('HINCRBY', job, F.attempt, -1)
      waits(K.scheduled, S.scheduled, id, delay)
    else
      local queue, priority, placed = more[2] or '', tonumber(more[3] or '0') or 0, nil
      if id == suspect then
        placed = pcall('LPUSH', K.suspects(queue), id)
      elseif priority ~= 0 then
        placed = pcall('ZADD', K.priority(queue), score_of(priority, 0), id)
      else
        placed = pcall('LPUSH', K.queue(queue), id)
      end
      if type(placed) == 'number' then
        event, back = 'released', queue
        pcall('HINCRBY', job, F.attempt, -1)
        call('HSET', job, F.state, S.enqueued)
        touched[queue] = id == suspect and 'suspect' or touched[queue] or true
      else
        state, event = S.failed, 'failed'
        err = cmsgpack.pack({ 'BrokenRecord', 'its record names no queue that takes it back', '' })
        count('failed')
      end
    end
    if event then
      add_history(id, event, more[1], A.worker, err)
    end
    if row[6] and string.find(row[6], '^%a*[LU]') then
      workflow().end_controlled(id, back, state and true)
    end
    if state then
      call('HSET', job, F.state, state)
      if row[5] then
        tell(job, id, row[5])
      end
      if retention == 0 and not more[4] and not more[5] then
        remove(id, true)
      else
        enter(state, id)
        if retention >= 0 then
          call('ZADD', K.expire, now + retention, id)
          call('HSET', job, F.expires, '1')
        end
      end
      if row[6] then
        ended(id, state, more[4], more[5])
      end
    end
  end

  local i = A.rest
  while i <= #ARGV do
    local id, exchange, how, n = ARGV[i], ARGV[i + 1], ARGV[i + 2], tonumber(ARGV[i + 3])
    local first, last = i + 4, i + 3 + n
    local job = K.job(id)
    local row = pcall('HMGET', job, F.state, F.worker, F.exchange, F.cancel_requested, F.inboxes, F.linked)
    if row[1] == S.processing and row[2] == A.worker and row[3] == exchange then
      codes[#codes + 1] = Finished.DONE
      done[#done + 1] = id
      if how == '0' then
        call('HSET', job, F.state, S.succeeded, unpack(ARGV, first, last))
        enter(S.succeeded, id)
        count('succeeded')
        if row[5] then
          tell(job, id, row[5])
        end
        if row[6] then
          local batch, flags = links_of(row[6])
          if string.find(flags, '[LU]') then
            workflow().end_controlled(id, nil, true)
          end
          ended(id, S.succeeded, batch, string.find(flags, 'C', 1, true))
        end
      else
        if n > 0 then
          call('HSET', job, unpack(ARGV, first, last))
        end
        other(id, row, how, ARGV[last + 1])
      end
      if row[4] then
        call('HDEL', job, F.cancel_requested)
        cancels[#cancels + 1] = id
      end
      if id == suspect then
        suspect = nil
      end
    else
      codes[#codes + 1] = Finished.LOST
      if row[1] ~= S.processing or row[2] ~= A.worker then
        done[#done + 1] = id
        if id == suspect then
          suspect = nil
        end
      end
    end
    i = last + (how == '0' and 1 or 2)
  end

  for state, list in pairs(lists) do
    local key = state == S.succeeded and K.succeeded or state == S.failed and K.failed or K.cancelled
    call('ZADD', key, unpack(list))
  end
  if #done > 0 then
    call('SREM', held, unpack(done))
  end
  if #cancels > 0 then
    call('SREM', K.cancels(A.worker), unpack(cancels))
  end
  return table.concat(codes), suspect
end
