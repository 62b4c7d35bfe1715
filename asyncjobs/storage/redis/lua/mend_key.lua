-- mend_key: what a key holds is of the type that it should be: else it is moved aside.
-- KEYS: t. ARGV: now, apply ("" = only say what would be done), key, type, name (of the key, for the other place).
-- Reply: what is done, "" if nothing is wrong. O(1).
-- @include now
-- @include repairs
local held = redis.call('TYPE', A.key).ok
if held ~= A.type and held ~= 'none' then
  local aside = K.aside(A.name .. ':' .. string.format('%.0f', now))
  to_mend('it is moved to ' .. aside .. ': look at it, and delete it', function()
    redis.call('RENAME', A.key, aside)
  end)
end
return mended()
