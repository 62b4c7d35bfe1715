-- fetch(grants, dropped, touched, suspect): leases up to A.slots jobs of the queues named, in their order, and puts
-- back the marker of each that still has jobs (suspects count if one of them was granted or released just now). The
-- ids, the worker's suspect, and whether the bound on skipping was reached. O(grants + queues + skipped), O(log n) for those with a priority.
-- @include called_off
local function fetch(grants, dropped, touched, suspect)
  local call = redis.call
  local slots, skips, granted = tonumber(A.slots), SKIP_LIMIT, {}

  local function take(id, queue, is_suspect)
    local row = read_job(id)
    if row[11] and row[1] == S.enqueued and row[2] == queue then
      local batch, flags = links_of(row[11])
      if batch and called_off(batch) then
        skips = skips - 1
        workflow().drop_enqueued(id, queue, 'cancelled')
        return false
      elseif string.find(flags, '[LUX]')
        and not workflow().take_controlled(id, queue, row[9] or row[10], is_suspect) then
        skips = skips - 1
        return false
      end
    end
    if row[1] == S.enqueued and row[2] == queue then
      local attempt = (tonumber(row[5]) or 0) + 1
      call('HSET', K.job(id), F.state, S.processing, F.worker, A.worker, F.exchange, A.number, F.started, now,
        F.attempt, attempt)
      add_grant(grants, id, row, attempt)
      granted[#granted + 1] = id
      slots = slots - 1
      return true
    end
    skips = skips - 1
    if row.err or skip(id, queue, row) then
      dropped[#dropped + 1] = id
    end
    return false
  end

  -- A queue whose key somebody has put something else into mustn't stop the others.
  local broken = false
  local function try(command, key, ...)
    local reply = redis.pcall(command, key, ...)
    if type(reply) == 'table' and reply.err then
      broken = true
      dropped[#dropped + 1] = key
      return nil
    end
    return reply
  end

  local function take_prior(key, queue, range)
    while slots > 0 and skips > 0 do
      local ids = try('ZRANGEBYSCORE', key, range[1], range[2], 'LIMIT', 0, slots)
      if not ids or #ids == 0 then
        return
      end
      call('ZREM', key, unpack(ids))
      for _, id in ipairs(ids) do
        take(id, queue)
      end
    end
  end

  for queue in string.gmatch(A.queues, '%S+') do
    local plain, prior, suspects = K.queue(queue), K.priority(queue), K.suspects(queue)
    if call('EXISTS', plain, prior, suspects) > 0 and call('HGET', K.queues, queue) ~= 'p' then
      local wakes = touched[queue] == 'suspect'
      broken = false
      while slots > 0 and skips > 0 and not suspect do
        local id = try('LPOP', suspects)
        if not id then
          break
        end
        if take(id, queue, true) then
          suspect = id
          wakes = true
        end
      end
      local priorities = slots > 0 and call('EXISTS', prior) == 1
      if priorities then
        take_prior(prior, queue, { '-inf', '(0' })
      end
      while slots > 0 and skips > 0 do
        local asked = slots
        local ids = try('LPOP', plain, asked)
        for _, id in ipairs(ids or {}) do
          take(id, queue)
        end
        if not ids or #ids < asked then
          break
        end
      end
      if priorities then
        take_prior(prior, queue, { '(0', '+inf' })
      end
      if skips < SKIP_LIMIT then
        forget_ghosts(queue)
      end
      touched[queue] = nil
      if broken then
        call('DEL', K.wake(queue))
      elseif call('EXISTS', plain, prior) > 0 or (wakes and call('EXISTS', suspects) == 1) then
        call('ZADD', K.wake(queue), 0, '1')
      end
    else
      touched[queue] = nil
    end
  end
  if #granted > 0 then
    call('SADD', K.held(A.worker), unpack(granted))
  end
  return granted, suspect, skips <= 0
end
