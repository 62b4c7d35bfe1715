-- mend_orphan: history and log of a job are removed with it.
-- KEYS: t. ARGV: apply ("" = only say what would be done), id. Reply: what is done, "" if nothing is wrong. O(1).
-- @include repairs
local state = redis.pcall('HGET', K.job(A.id), F.state)
local is_gone = not state and redis.call('EXISTS', K.job(A.id)) == 0
if (is_gone or state == STUB) and redis.call('EXISTS', K.history(A.id), K.log(A.id)) > 0 then
  to_mend('it is removed', function()
    redis.call('UNLINK', K.history(A.id), K.log(A.id))
  end)
end
return mended()
