-- mend_expiry: a key expires if it should, and not if it shouldn't.
-- KEYS: t. ARGV: apply ("" = only say what would be done), key, after (ms, or "": it should stay), stub ("1": it should
-- expire only if it is a stub, and stay if not).
-- Reply: what is done, "" if nothing is wrong. O(1).
-- @include repairs
local left = redis.call('PTTL', A.key)
local expires = A.after ~= ''
if A.stub ~= '' then
  expires = redis.pcall('HGET', A.key, F.state) == STUB
end
if expires and left == -1 then
  to_mend('it is removed after a while', function()
    redis.call('PEXPIRE', A.key, A.after)
  end)
elseif not expires and left >= 0 then
  to_mend('it stays', function()
    redis.call('PERSIST', A.key)
  end)
end
return mended()
