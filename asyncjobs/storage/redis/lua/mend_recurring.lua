-- mend_recurring: a recurring job has a definition, and somebody looks at it when it occurs next.
-- KEYS: t. ARGV: now, apply ("" = only say what would be done), id, revision, timing, next (ms or "") as its definition says;
-- a revision of "" if there is none.
-- Reply: what is done, "" if nothing is wrong; after a "!", why nothing can be done. O(log n).
-- @include now
-- @include repairs
local call, facts = redis.call, K.recurring_facts(A.id)
local row = redis.pcall('HMGET', facts, R.revision, R.next, R.declared, R.paused)
local definition, looks = redis.pcall('HGET', K.recurring, A.id), redis.pcall('ZSCORE', K.recurring_next, A.id)
if row.err or type(definition) == 'table' or type(looks) == 'table' then
  return ''
end
local function look_at(next)
  call('ZADD', K.recurring_next, next == '' and '+inf' or next, A.id)
end
if not definition then
  if not row[1] and not row[3] then
    if looks or call('EXISTS', facts) == 1 then
      to_mend('it is forgotten', function()
        call('ZREM', K.recurring_next, A.id)
        call('UNLINK', facts)
      end)
    end
  elseif row[1] and row[3] then
    to_mend('the workers that declare it put it again, within a minute', function()
      call('HDEL', facts, R.revision)
    end)
  elseif row[1] then
    return '!its definition is lost: put it again, or remove it'
  end
elseif A.revision == '' then
  return ''
elseif not row[1] then
  to_mend('it occurs again as its definition says. If it is declared in code, remove it: workers put it again', function()
    call('HSET', facts, R.revision, A.revision, R.timing, A.timing, R.created, now, R.next, A.next)
    look_at(A.next)
  end)
elseif not row[2] or (row[2] ~= '' and not tonumber(row[2])) then
  local next = row[4] and '' or A.next
  to_mend('it occurs again as its definition says', function()
    call('HSET', facts, R.next, next)
    look_at(next)
  end)
elseif not looks or (looks == 'inf' and row[2] ~= '') then
  to_mend('it is looked at again when its time comes', function()
    look_at(row[2])
  end)
end
return mended()
