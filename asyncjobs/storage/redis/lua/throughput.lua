-- throughput: the totals of the last hours or days.
-- KEYS: t. ARGV: now, unit (ms), count. Reply: {the present one's number, {names and values} of each, the oldest first}.
-- O(count).
-- @include now
local unit = tonumber(A.unit)
local last = math.floor(now / unit)
local reply = { last }
for number = last - A.count + 1, last do
  local key = unit == 3600000 and K.hour(number) or K.day(number)
  reply[#reply + 1] = redis.call('HGETALL', key)
end
return reply
