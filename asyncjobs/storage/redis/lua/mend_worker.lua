-- mend_worker: a worker has a record, and a lease that runs out unless it renews it. One without a record is dead: the
-- caller has to reap it.
-- KEYS: t. ARGV: now, apply ("" = only say what would be done), worker.
-- Reply: what is done, "" if nothing is wrong. O(log workers).
-- @include now
-- @include repairs
-- @include drop_worker
local worker = K.worker(A.worker)
local row = redis.pcall('HMGET', worker, W.lease, W.number)
local held = redis.pcall('SCARD', K.held(A.worker))
if row.err or type(held) == 'table' then
  return ''
end
local is_registered = redis.call('ZSCORE', K.workers, A.worker)
if redis.call('EXISTS', worker) == 1 then
  if not is_registered then
    to_mend('it has a lease again, which runs out unless it renews it', function()
      redis.call('ZADD', K.workers, now + (tonumber(row[1]) or STUB_MS), A.worker)
    end)
  end
elseif held > 0 then
  to_mend('its jobs are taken back as those of a dead worker', function()
    -- No worker comes back under an id that has no record.
    redis.call('HSET', worker, W.reaping, '1', W.number, 0)
    redis.call('ZADD', K.workers, 0, A.worker)
  end)
elseif is_registered then
  to_mend('it is forgotten', function()
    drop_worker(A.worker)
  end)
end
return mended()
