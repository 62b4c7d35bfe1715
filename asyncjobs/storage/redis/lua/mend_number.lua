-- mend_number: a field holds a number, or is forgotten.
-- KEYS: t. ARGV: now, apply ("" = only say what would be done), key, field, most (no later time than so many ms from now on,
-- or "").
-- Reply: what is done, "" if nothing is wrong. O(1).
-- @include now
-- @include repairs
local value = redis.pcall('HGET', A.key, A.field)
if type(value) == 'string' then
  local number = string.match(value, '^%(?(%-?%d+)$')
  if not number or (A.most ~= '' and tonumber(number) > now + A.most) then
    to_mend('it is forgotten', function()
      redis.call('HDEL', A.key, A.field)
    end)
  end
end
return mended()
