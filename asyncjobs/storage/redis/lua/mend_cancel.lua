-- mend_cancel: a worker is told of those of its jobs that are to be cancelled, and of no others.
-- KEYS: t. ARGV: apply ("" = only say what would be done), worker, id.
-- Reply: what is done, "" if nothing is wrong. O(1).
-- @include repairs
local row = redis.pcall('HMGET', K.job(A.id), F.state, F.worker, F.cancel_requested)
local told = redis.pcall('SISMEMBER', K.cancels(A.worker), A.id)
local wanted = row[1] == S.processing and row[2] == A.worker and row[3]
if told == 0 and wanted and redis.call('EXISTS', K.worker(A.worker)) == 1 then
  to_mend('worker ' .. A.worker .. ' is told to cancel it', function()
    redis.call('SADD', K.cancels(A.worker), A.id)
    redis.call('PEXPIRE', K.cancels(A.worker), 86400000)
    redis.pcall('RPUSH', K.control(A.worker), '1')
    redis.pcall('PEXPIRE', K.control(A.worker), STUB_MS)
  end)
elseif told == 1 and not wanted then
  to_mend('worker ' .. A.worker .. ' isn\'t told any more to cancel it', function()
    redis.call('SREM', K.cancels(A.worker), A.id)
  end)
end
return mended()
