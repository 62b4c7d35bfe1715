-- cancel: a waiting job becomes cancelled; a running one's worker is told.
-- KEYS: t. ARGV: now, id, request. Reply: Cancelled. O(log n).
-- @include now
-- @include requests
-- @include cancel_job
-- @include conclude
redis.call('HDEL', K.meta, '-')
local row = redis.call('HMGET', K.job(A.id), F.state, F.requests, F.cancel_requested)
if row[1] and row[1] ~= STUB and carried_out(row[2], A.request) then
  return row[1] == S.processing and row[3] and Cancelled.REQUESTED or Cancelled.CANCELLED
end
local code = cancel_job(A.id)
if code == Cancelled.CANCELLED or code == Cancelled.REQUESTED then
  remember(A.id, row[2], A.request)
end
conclude({})
return code
