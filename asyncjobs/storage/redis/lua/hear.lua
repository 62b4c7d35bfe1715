-- hear: a job hears of the end of a parent on another shard. Heard again, it changes nothing.
-- KEYS: t. ARGV: now, id, node, ending ("" = removed), has_output, output. Reply: 1 if it was news. O(log n).
-- @include now
-- @include conclude
redis.call('HDEL', K.meta, '-')
local job = K.job(A.id)
local code = tonumber(redis.pcall('HGET', job, RECEIPT .. A.node))
if not code then
  return 0
end
redis.call('HDEL', job, RECEIPT .. A.node)
-- If whoever asked for this died before it was acknowledged, it needn't be asked again.
redis.call('HDEL', K.outbox, 'A ' .. A.node .. ' ' .. A.id)
if what_follows(code, A.ending) == Follow.MET then
  met(A.id, A.node, A.has_output == '1' and A.output or nil)
else
  unmet(A.id, A.node, A.ending)
end
conclude({})
return 1
