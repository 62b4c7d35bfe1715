-- mend_unique: a unique key is held by a job that claims it and can hold it, and by the one that should.
-- KEYS: t. ARGV: now, apply ("" = only say what would be done), key, id (of a job that should hold it, or "").
-- Reply: what is done, "" if nothing is wrong. O(1).
-- @include now
-- @include repairs
-- @include unique
local value = redis.pcall('GET', K.unique(A.key))
value = type(value) == 'string' and value or nil
local id, til = string.match(value or '', '^(%S+) ?(%d*)$')
local holder, overdue = holder_of(A.key)
local left = redis.call('PTTL', K.unique(A.key))
holder = holder or overdue

local function claim_of(job)
  local row = redis.pcall('HMGET', K.job(job), F.unique, F.state, F.started)
  local kind, _, key = parts_of(type(row[1]) == 'string' and row[1] or '')
  return key == A.key and kind or nil, row
end

if A.id ~= '' then
  local kind, row = claim_of(A.id)
  local waits = row[2] == S.staging or row[2] == S.awaiting or row[2] == S.scheduled or row[2] == S.enqueued
    or row[2] == S.throttled
  if not holder and kind and kind ~= 'p' and waits and not row[3] then
    to_mend('it is held by ' .. A.id .. ' again', function()
      claim_unique(A.id, row[1])
    end)
  end
elseif value and til and til ~= '' then
  if left < 0 then
    to_mend('it is held until its time', function()
      redis.call('PEXPIREAT', K.unique(A.key), til)
    end)
  end
elseif value and (not holder or claim_of(holder) == nil or claim_of(holder) == 'p') then
  to_mend('it is free again', function()
    redis.call('DEL', K.unique(A.key))
  end)
elseif value and left >= 0 then
  to_mend(id .. ' holds it until it lets go of it', function()
    redis.call('PERSIST', K.unique(A.key))
  end)
end
return mended()
