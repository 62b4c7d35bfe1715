-- claim(field, due): whether this worker is the one that is to come at a due time: nobody else who is registered has
-- claimed it. O(1).
local function claim(field, due)
  local claimed = redis.call('HGET', K.meta, field)
  local holder = claimed and string.match(claimed, '^' .. due .. ' (.*)$')
  if holder and holder ~= A.worker and redis.call('EXISTS', K.worker(holder)) == 1 then
    return false
  end
  if holder ~= A.worker then
    redis.call('HSET', K.meta, field, due .. ' ' .. A.worker)
  end
  return true
end
