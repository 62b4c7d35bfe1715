-- get_batch: a batch's fields; if a client's inbox is named and it hasn't finished, that is told when it does.
-- KEYS: t. ARGV: id, inbox or "". Reply: fields and values; none if there is no such batch. O(1).
local key = K.batch(A.id)
redis.call('HDEL', K.meta, '-')
local row = redis.call('HMGET', key, B.state, B.inboxes)
if row[1] == STUB then
  return {}
end
if A.inbox ~= '' and (row[1] == S.staging or row[1] == S.processing)
  and not string.find(row[2] or '', A.inbox, 1, true) then
  redis.call('HSET', key, B.inboxes, (row[2] and row[2] .. ',' or '') .. A.inbox)
end
return redis.call('HGETALL', key)
