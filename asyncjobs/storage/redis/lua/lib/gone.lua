-- gone(id, state, batch, continued): to be called for each job that was removed in this script. A member of a batch
-- counts there as what it ended as, or as cancelled; jobs that wait for it are cancelled. O(log n).
-- @include follow_up
local function gone(id, state, batch, continued)
  if batch and redis.call('ZREM', K.members(batch), id) == 1 then
    local is_final = state == S.succeeded or state == S.failed or state == S.cancelled
    local counted = is_final and state or S.cancelled
    redis.call('HINCRBY', K.batch(batch), 't' .. counted, 1)
    if not is_final then
      count_in(batch, S.cancelled, 1)
    end
  end
  if continued then
    following.endings[#following.endings + 1] = { id, '' }
  end
end
