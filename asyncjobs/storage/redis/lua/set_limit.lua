-- set_limit: sets a limit's numbers by hand; or lets the next job that is made under it set them.
-- KEYS: t. ARGV: now, name, most ("" for the latter), per (ms). Reply: 1. O(1); carry_on lets jobs in.
-- @include now
-- @include conclude
redis.call('HDEL', K.meta, '-')
local numbers = redis.call('HGET', K.limits, A.name)
if A.most ~= '' then
  redis.call('HSET', K.limits, A.name, A.most .. ' ' .. A.per .. ' h')
elseif numbers then
  redis.call('HSET', K.limits, A.name, (string.gsub(numbers, ' h$', '')))
end
put_off('n' .. A.name)
conclude({})
return 1
