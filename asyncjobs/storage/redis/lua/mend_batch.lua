-- mend_batch: a batch counts what its members are, is finished when all of them have ended, and is in the list.
-- KEYS: t. ARGV: now, apply ("" = only say what would be done), id, vector (what it counted when its members were looked
-- at, see lib/batch_vector), staging, waiting (how many of its members are staging, and wait for anything), ended ("1": all
-- have), then fields and what they should be.
-- Reply: what is done, "" if nothing is wrong; "?" if it doesn't count any more what it did. O(depth + what follows, bounded).
-- @include now
-- @include repairs
-- @include conclude
-- @include batch_vector
-- @include root_of
local id = A.id
local key = K.batch(id)
local state = redis.pcall('HGET', key, B.state)
if type(state) ~= 'string' or state == STUB then
  return ''
elseif batch_vector(id) ~= A.vector then
  return '?'
end
for at = A.rest, #ARGV, 2 do
  local field, value = ARGV[at], ARGV[at + 1]
  local said = redis.call('HGET', key, field) or '0'
  if said ~= value then
    to_mend('it counts ' .. value .. ' where it said ' .. said, function()
      redis.call('HSET', key, field, value)
    end)
  end
end
local finished = state == S.succeeded or state == S.failed or state == S.cancelled
local score = tonumber(redis.call('ZSCORE', K.batches, id) or nil)
local first = finished and BATCH_FINISHED or state == S.staging and 0 or BATCH_OPEN
if state ~= S.staging or root_of(id) == id then
  local length = state == S.staging and BATCH_FINISHED or BATCH_OPEN - BATCH_FINISHED
  if not score or score < first or (score >= first + length and state ~= S.processing) then
    to_mend('it is in the list of batches again', function()
      redis.call('ZADD', K.batches, string.format('%.0f', first + now), id)
    end)
  end
end
local function is_under_way(kind)
  return redis.call('ZSCORE', K.follow_ups, kind .. id)
end
if state ~= S.staging then
  if A.staging ~= '0' and not is_under_way('c') then
    to_mend('its members leave staging', function()
      redis.call('HDEL', key, B.placed)
      put_off('c' .. id)
    end)
  end
  if A.waiting ~= '0' and redis.call('HGET', key, B.cancel_requested) and not is_under_way('k') then
    to_mend('its members are cancelled', function()
      redis.call('HDEL', key, B.cancelling)
      put_off('k' .. id)
    end)
  end
  if finished and A.ended == '' then
    to_mend('it is open again', function()
      reopen_batch(id, '', 0)
    end)
  elseif not finished and A.ended ~= '' and not is_under_way('c') then
    to_mend('it is finished', function()
      count_in(id, B.total, 0)
    end)
  end
end
local text = mended()
if A.apply ~= '' and text ~= '' then
  conclude({})
end
return text
