-- recurring_renew: a worker says which recurring jobs its code declares.
-- KEYS: t. ARGV: now, starting ("1" or ""), then for each: id, revision.
-- Reply: {now, a digit (Renewed) for each}. Cost: O(declared).
-- Begins with a removing command, which a full Redis allows, so that all that follows is allowed too.
-- @include now
-- @include recurring_alive
-- @include recurring_row
local call = redis.call
call('HDEL', K.meta, '-')
local hold, codes = recurring_alive(), {}
for at = A.rest, #ARGV, 2 do
  local facts, code = K.recurring_facts(ARGV[at]), Renewed.RENEWED
  local row = call('HMGET', facts, R.revision, R.declared, R.orphaned, R.seen, R.held, R.code)
  if not row[1] then
    code = Renewed.WANTED
  elseif not row[2] then
    code = Renewed.TAKEN
  elseif is_orphaned(row[2], row[3], row[4], hold) then
    code = Renewed.WANTED
  elseif row[1] == ARGV[at + 1] or row[6] == ARGV[at + 1] then
    call('HSET', facts, R.seen, now, R.held, now)
  elseif A.starting == '1' or (now - (tonumber(row[5]) or 0) > ORPHAN_MS and now >= hold) then
    code = Renewed.WANTED
  else
    call('HSET', facts, R.seen, now)
    code = Renewed.OTHER
  end
  codes[#codes + 1] = code
end
return { now, table.concat(codes) }
