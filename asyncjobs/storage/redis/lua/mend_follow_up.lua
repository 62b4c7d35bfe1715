-- mend_follow_up: what any worker has to carry on is in its list, and nothing else is.
-- KEYS: t. ARGV: now, apply ("" = only say what would be done), entry (see carry_on), message (a field of the outbox that
-- can't be read) or "".
-- Reply: what is done, "" if nothing is wrong. O(log n).
-- @include now
-- @include repairs
-- @include follow_up
local kind, what = string.sub(A.entry, 1, 1), string.sub(A.entry, 2)
local is_listed = redis.call('ZSCORE', K.follow_ups, A.entry)
if A.message ~= '' then
  if redis.call('HEXISTS', K.outbox, A.message) == 1 then
    to_mend('it is dropped', function()
      redis.call('HDEL', K.outbox, A.message)
    end)
  end
elseif is_listed then
  if not string.find(kind, '[xralckdwn]') then
    to_mend('it is dropped', function()
      redis.call('ZREM', K.follow_ups, A.entry)
    end)
  end
elseif (kind == 'x' and redis.call('EXISTS', K.outbox) == 1)
  or (kind == 'd' and redis.pcall('HGET', K.batch(what), B.state) == STUB) then
  to_mend('workers go on with it', function()
    put_off(A.entry)
  end)
end
return mended()
