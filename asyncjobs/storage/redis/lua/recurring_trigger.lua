-- recurring_trigger: makes a job of a recurring job by hand; its next time stays.
-- KEYS: t. ARGV: now, id, and what lib/make_job takes. Reply: Triggered. Cost: O(OPEN_LIMIT), O(log n) with a priority.
-- A full Redis refuses the first HSET, before anything is written.
-- @include now
-- @include wake
-- @include place
-- @include due
-- @include make_job
-- @include open_jobs
local facts = K.recurring_facts(A.id)
local open = redis.call('HMGET', facts, R.revision, R.open)
if not open[1] then
  return Triggered.MISSING
end
if redis.call('EXISTS', K.job(ARGV[A.rest])) == 1 then
  return Triggered.CREATED
end
local _, id, there = make_job(A.rest)
conclude_made()
if there == nil then
  return Triggered.NOT_UNIQUE
elseif not there then
  return Triggered.REFUSED
end
redis.call('HSET', facts, R.job, id, R.fired_at, now, R.open, add_open(open[2] or '', id))
return Triggered.CREATED
