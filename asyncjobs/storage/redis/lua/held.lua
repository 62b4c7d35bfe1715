-- held: the jobs that a worker has leases on, with their fields.
-- KEYS: t. ARGV: worker, limit. Reply: {how many, then for each of the first by id: id, fields and values, false}.
-- Cost: O(held).
local held = redis.call('SMEMBERS', K.held(A.worker))
table.sort(held)
local reply = { #held }
for at = 1, math.min(#held, tonumber(A.limit)) do
  local row = redis.pcall('HGETALL', K.job(held[at]))
  reply[#reply + 1] = held[at]
  reply[#reply + 1] = row.err and {} or row
  reply[#reply + 1] = false
end
return reply
