-- queues: all known queues.
-- KEYS: t. ARGV: none. Reply: four values each: name, length, 1 if paused, when its head was enqueued or "". O(queues).
-- @include queue_row
local reply = {}
local flags = redis.call('HGETALL', K.queues)
for at = 1, #flags, 2 do
  local n = #reply
  reply[n + 1], reply[n + 2] = flags[at], queue_length(flags[at])
  reply[n + 3], reply[n + 4] = flags[at + 1] == 'p' and 1 or 0, oldest_in(flags[at])
end
return reply
