-- watch: has a client's inbox told of a job's end, unless it has ended.
-- KEYS: t. ARGV: id, inbox. Reply: as get. O(fields).
-- @include list_of
local job = K.job(A.id)
redis.call('HDEL', K.meta, '-')
local row = redis.call('HGETALL', job)
if #row == 0 then
  return false
end
local state = redis.call('HGET', job, F.state)
local list = list_of(state)
if state ~= S.succeeded and state ~= S.failed and state ~= S.cancelled and state ~= STUB then
  local inboxes = redis.call('HGET', job, F.inboxes)
  if not inboxes then
    redis.call('HSET', job, F.inboxes, A.inbox)
  elseif not string.find(inboxes, A.inbox, 1, true) then
    redis.call('HSET', job, F.inboxes, inboxes .. ',' .. A.inbox)
  end
end
return { row, list and redis.call('ZSCORE', list, A.id) or false }
