-- attach: has a job on another shard told of a node's end, by a message if it has ended already.
-- KEYS: t. ARGV: now, node, id, code. Reply: 1. O(log n).
-- @include now
-- @include follow_up
redis.call('HDEL', K.meta, '-')
local follows, ending = attach(A.id, A.node, tonumber(A.code))
if follows ~= Follow.WAITS then
  local output = follows == Follow.MET and takes_output(tonumber(A.code)) and result_of(A.node).value or nil
  redis.call('HSET', K.outbox, 'E ' .. A.id .. ' ' .. A.node, ending .. '\n' .. (output and '1' .. output or '0'))
  put_off('x')
end
return 1
