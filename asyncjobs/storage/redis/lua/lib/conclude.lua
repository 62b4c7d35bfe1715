-- conclude(counts): carries out what follows from the ends of jobs in this script, wakes the queues that have new
-- jobs, and adds `counts` to the totals. For scripts other than exchange. O(what follows).
-- @include wake
-- @include bump
-- @include follow_up
local function conclude(counts)
  follow_up()
  save_limits()
  for queue in pairs(follow.queues) do
    wake(queue)
  end
  for counter, n in pairs(counts) do
    follow.counts[counter] = (follow.counts[counter] or 0) + n
  end
  bump(follow.counts)
end
