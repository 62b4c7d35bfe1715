-- follow: what scripts see of what follows (see follow_up): counters for the totals, queues with new jobs, how many
-- continuations may still be dealt with, and whether some were put off. O(1).
local follow = { left = FOLLOW_LIMIT, put_off = false, counts = {}, queues = {} }
