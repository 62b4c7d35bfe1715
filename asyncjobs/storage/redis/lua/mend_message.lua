-- mend_message: a job that waits for something on another shard asks that to tell it, once more.
-- KEYS: t. ARGV: now, apply ("" = only say what would be done), id, node.
-- Reply: what is done, "" if nothing is wrong. O(log n).
-- @include now
-- @include repairs
-- @include follow_up
local row = redis.pcall('HMGET', K.job(A.id), F.state, RECEIPT .. A.node)
local message = 'A ' .. A.node .. ' ' .. A.id
if (row[1] == S.awaiting or row[1] == S.staging) and row[2] and redis.call('HEXISTS', K.outbox, message) == 0 then
  to_mend('it asks ' .. A.node .. ' once more', function()
    redis.call('HSET', K.outbox, message, row[2])
    put_off('x')
  end)
end
return mended()
