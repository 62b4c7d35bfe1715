-- acknowledge: messages for other shards have been delivered.
-- KEYS: t. ARGV: pairs of field and value, as carry_on gave them. Reply: 1. O(messages).
-- A message that has changed meanwhile is a new one, and stays.
for i = A.rest, #ARGV, 2 do
  if redis.call('HGET', K.outbox, ARGV[i]) == ARGV[i + 1] then
    redis.call('HDEL', K.outbox, ARGV[i])
  end
end
if redis.call('EXISTS', K.outbox) == 0 then
  redis.call('ZREM', K.follow_ups, 'x')
end
return 1
