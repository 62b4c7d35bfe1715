-- count_members: what some of a batch's members are, and what it counts in that moment.
-- KEYS: t. ARGV: id, offset, limit. Reply: {what it counts (see lib/batch_vector), how many members were looked at, states
-- and numbers of jobs, the same of nested batches}; the state of one that is gone is "". O(limit).
-- @include batch_vector
-- @include edge
local ids = redis.call('ZRANGE', K.members(A.id), A.offset, A.offset + A.limit - 1)
local counts = { {}, {} }
for _, id in ipairs(ids) do
  local kind = counts[is_batch(id) and 2 or 1]
  local state = redis.pcall('HGET', key_of(id), F.state)
  if type(state) ~= 'string' or state == STUB then
    state = ''
  end
  kind[state] = (kind[state] or 0) + 1
end
local reply = { batch_vector(A.id), #ids, {}, {} }
for at = 1, 2 do
  for state, count in pairs(counts[at]) do
    table.insert(reply[at + 2], state)
    table.insert(reply[at + 2], count)
  end
end
return reply
