-- mend_lease: a worker holds a lease only on what it runs, and its suspect is one of these.
-- KEYS: t. ARGV: apply ("" = only say what would be done), worker, id.
-- Reply: what is done, "" if nothing is wrong. O(1).
-- @include repairs
local worker = K.worker(A.worker)
local row = redis.pcall('HMGET', K.job(A.id), F.state, F.worker)
local suspect = redis.pcall('HGET', worker, W.suspect)
local held = redis.pcall('SISMEMBER', K.held(A.worker), A.id)
if type(suspect) == 'table' or type(held) == 'table' then
  return ''
end
local runs = row[1] == S.processing and row[2] == A.worker
if held == 1 and not runs then
  to_mend('worker ' .. A.worker .. ' holds no lease on it any more', function()
    redis.call('SREM', K.held(A.worker), A.id)
  end)
end
if suspect == A.id and (held == 0 or not runs) then
  to_mend('worker ' .. A.worker .. ' is free to take other recovered jobs', function()
    redis.call('HDEL', worker, W.suspect)
  end)
end
return mended()
