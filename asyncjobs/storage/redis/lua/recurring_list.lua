-- recurring_list: a page of the recurring jobs, by when they are looked at next.
-- KEYS: t. ARGV: now, offset, limit. Reply: {how many there are, what lib/recurring_told gives of each}.
-- Cost: O(limit), O(log n).
-- @include now
-- @include recurring_row
-- @include recurring_told
local reply, hold = { redis.call('ZCARD', K.recurring_next) }, orphan_hold()
local rows = redis.call('ZRANGE', K.recurring_next, A.offset, A.offset + A.limit - 1, 'WITHSCORES')
for at = 1, #rows, 2 do
  local told = told_of(rows[at], hold)
  if told then
    told[6] = rows[at + 1]
    reply[#reply + 1] = told
  end
end
return reply
