-- survey: of what type keys are, and when they expire.
-- KEYS: t. ARGV: keys. Reply: for each its type and the ms that are left to it (-1: for ever). O(keys).
local reply = {}
for at = A.rest, #ARGV do
  reply[#reply + 1] = redis.call('TYPE', ARGV[at]).ok
  reply[#reply + 1] = redis.call('PTTL', ARGV[at])
end
return reply
