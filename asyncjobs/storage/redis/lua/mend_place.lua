-- mend_place: an id lies in a queue only if its job is enqueued there, or is said to have left it there.
-- KEYS: t. ARGV: apply ("" = only say what would be done), queue, id.
-- Reply: what is done, "" if nothing is wrong. O(ids in the queue).
-- @include repairs
-- @include times_in
local queue, id = A.queue, A.id
local row = redis.pcall('HMGET', K.job(id), F.state, F.queue, F.ghost_in)
local suspects, prior, plain = times_in(queue, id)
if row.err or not suspects or (row[1] == S.enqueued and row[2] == queue) then
  return ''
end
if prior > 0 then
  to_mend('it is taken out of the jobs by priority of queue ' .. queue, function()
    redis.call('ZREM', K.priority(queue), id)
  end)
end
local is_ghost = row[3] == queue
-- Of one that is gone, the count of what is left behind may know.
local is_known = row[1] and row[1] ~= STUB
local kept = is_known and (is_ghost and 1 or 0) or suspects + plain
if suspects + plain > kept then
  to_mend('it is taken out of queue ' .. queue, function()
    if suspects > 0 then
      redis.call('LREM', K.suspects(queue), plain == 0 and kept - suspects or 0, id)
    end
    if plain > 0 then
      redis.call('LREM', K.queue(queue), kept - plain, id)
    end
  end)
end
return mended()
