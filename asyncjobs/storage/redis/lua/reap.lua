-- reap: takes back leases of a worker whose lease has run out, or of the one named (it is known dead).
-- KEYS: t. ARGV: now, worker or "", limit. Reply: {more, recovered ids, failed ids, cancelled ids}, each as one
-- string with spaces between. O(limit · log n). The entry is marked first and removed last, so that whoever
-- comes next can carry on.
-- @include now
-- @include wake
-- @include history
-- @include bump
-- @include tell
-- @include drop_worker
-- @include conclude
redis.call('HDEL', K.meta, '-')
local dead = A.worker
if dead == '' then
  if now < tonumber(redis.call('HGET', K.meta, M.hold) or 0) then
    return { 0, '', '', '' }
  end
  dead = redis.call('ZRANGEBYSCORE', K.workers, '-inf', now, 'LIMIT', 0, 1)[1]
end
if not dead or redis.call('EXISTS', K.worker(dead), K.held(dead)) == 0 then
  if dead then
    drop_worker(dead)
  end
  return { 0, '', '', '' }
end
redis.call('HSET', K.worker(dead), W.reaping, '1')
local suspect = redis.call('HGET', K.worker(dead), W.suspect)
-- Each leaves the set only when it is done: what stops this script must not strand the others.
local ids = redis.call('SRANDMEMBER', K.held(dead), A.limit)
table.sort(ids)
local recovered, failed, cancelled = {}, {}, {}
for _, id in ipairs(ids) do
  local job = K.job(id)
  local row = redis.pcall('HMGET', job, F.state, F.worker, F.cancel_requested, F.queue, F.deaths, F.max_recoveries,
    F.inboxes, F.attempt, F.batch, F.continued, F.limits, F.unique)
  if row[1] == S.processing and row[2] == dead then
    local greatest, deaths = tonumber(row[6]) or 3, tonumber(row[5]) or 0
    if id == suspect then
      deaths = deaths + 1
      redis.call('HSET', job, F.deaths, deaths)
    end
    if row[3] then
      redis.call('HDEL', job, F.cancel_requested)
      redis.call('HSET', job, F.state, S.cancelled)
      redis.call('ZADD', K.cancelled, now, id)
      add_history(id, 'cancelled', row[8], dead)
      cancelled[#cancelled + 1] = id
    elseif deaths >= greatest or not row[4] then
      local why = row[4] and 'its worker died ' .. math.max(deaths, 1) .. ' times while this was its only suspect'
        or 'its worker died, and its record names no queue to go back to'
      redis.call('HSET', job, F.state, S.failed)
      redis.call('ZADD', K.failed, now, id)
      add_history(id, 'poisoned', row[8], dead,
        cmsgpack.pack({ 'WorkerDied', why, '' }))
      failed[#failed + 1] = id
    else
      redis.pcall('HINCRBY', job, F.recoveries, 1)
      redis.call('HSET', job, F.state, S.enqueued, F.enqueued, now)
      redis.call('RPUSH', K.suspects(row[4]), id)
      add_history(id, 'recovered', row[8], dead)
      wake(row[4])
      recovered[#recovered + 1] = id
    end
    local is_final = row[3] or deaths >= greatest or not row[4]
    if row[11] then
      let_go(row[11], not is_final and row[4] or nil)
    end
    if is_final then
      if row[12] then
        release_unique(id, row[12])
      end
      if row[7] then
        tell(job, id, row[7])
      end
      ended(id, row[3] and S.cancelled or S.failed, row[9], row[10])
    end
  end
  redis.call('SREM', K.held(dead), id)
end
conclude({
  recovered = #recovered > 0 and #recovered or nil,
  failed = #failed > 0 and #failed or nil,
  cancelled = #cancelled > 0 and #cancelled or nil,
})
local more = redis.call('SCARD', K.held(dead)) > 0
if not more then
  drop_worker(dead)
  more = A.worker == '' and #redis.call('ZRANGEBYSCORE', K.workers, '-inf', now, 'LIMIT', 0, 1) > 0
end
return { more and 1 or 0, table.concat(recovered, ' '), table.concat(failed, ' '), table.concat(cancelled, ' ') }
