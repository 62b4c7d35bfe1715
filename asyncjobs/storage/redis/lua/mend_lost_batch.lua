-- mend_lost_batch: a batch whose record is gone gets another one, which counts nothing yet and can't finish until its
-- members are counted (see mend_batch); or what is left of it is removed, if no job is a member of it.
-- KEYS: t. ARGV: now, apply ("" = only say what would be done), id, jobs (how many say that they are members), staging ("1":
-- all of these are), outer (the batch that it is nested in) or "".
-- Reply: what is done, "" if nothing is wrong. O(log n).
-- @include now
-- @include repairs
-- @include follow_up
local id = A.id
local key, members, state = K.batch(id), K.members(id), A.staging == '1' and S.staging or S.processing
local known = redis.pcall('HGET', key, B.state)
if type(known) == 'table' or type(redis.pcall('ZCARD', members)) == 'table'
  or (known and string.find(known, '^[' .. S.staging .. S.processing .. S.succeeded .. S.failed .. S.cancelled .. STUB .. ']$')) then
  return ''
end
if A.jobs ~= '0' then
  to_mend('it is made anew from what its members are; its name is lost', function()
    redis.call('HSET', key, B.state, state, B.total, 1000000000000)
    redis.call('HSETNX', key, B.name, '')
    redis.call('HSETNX', key, B.created, now)
    if A.outer ~= '' then
      redis.call('HSET', key, B.parent, A.outer, B.depth, (redis.call('HGET', K.batch(A.outer), B.depth) or 0) + 1)
    end
    if redis.call('EXISTS', K.batch_continuations(id)) == 1 then
      redis.call('HSET', key, B.continued, '1')
    end
    redis.call('ZADD', K.batches, string.format('%.0f', (state == S.staging and 0 or BATCH_OPEN) + now), id)
  end)
elseif redis.call('EXISTS', key, members) > 0 or redis.call('ZSCORE', K.batches, id) then
  to_mend('what is left of it is removed', function()
    redis.call('UNLINK', key, members)
    redis.call('ZREM', K.batches, id)
  end)
end
return mended()
