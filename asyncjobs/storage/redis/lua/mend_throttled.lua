-- mend_throttled: of those that are said to wait for a limit, each is a job that does; some of them are looked at.
-- What the limit counts of them is for mend_limit, after this.
-- KEYS: t. ARGV: now, apply ("" = only say what would be done), id (of the limit), queue, cursor ("0" to begin), limit.
-- Reply: {cursor to go on with, "0" if that was all; what is done, "" if nothing is wrong}. O(limit · log waiters).
-- @include now
-- @include repairs
-- @include conclude
local key = K.limit_waiters(A.id .. ':' .. A.queue)

local function waits(job)
  local row = redis.pcall('HMGET', K.job(job), F.state, F.queue, F.limits, F.throttled_by)
  if row[1] ~= S.throttled or row[2] ~= A.queue or not row[3] or string.sub(row[4] or '', 3) ~= A.id then
    return false
  end
  for _, use in ipairs(uses_of(row[3])) do
    if use.id == A.id then
      return true
    end
  end
  return false
end

local found = redis.pcall('ZSCAN', key, A.cursor, 'COUNT', A.limit)
if found.err then
  -- Something else is there: that is found as well, and moved aside.
  return { '0', '' }
end
local wrong = {}
for at = 1, #found[2], 2 do
  if not waits(found[2][at]) then
    wrong[#wrong + 1] = found[2][at]
  end
end
if #wrong > 0 then
  local some = table.concat(wrong, ', ', 1, math.min(#wrong, 5))
  to_mend(#wrong .. ' of ' .. A.queue .. ' are not said to wait for it any more (' .. some .. ')', function()
    redis.call('ZREM', key, unpack(wrong))
  end)
end
return { found[1], mended() }
