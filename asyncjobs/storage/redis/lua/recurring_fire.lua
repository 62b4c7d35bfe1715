-- recurring_fire: makes the jobs of a recurring job whose time has come, and sets its next time: once, for only who
-- knows the present next time can.
-- KEYS: t. ARGV: now, id, revision, expected, next (ms or ""), last (ms), missed, passed, overlap, then for each job
--   what lib/make_job takes.
-- Reply: Fired. Cost: O(jobs), O(log n) each with a priority or a due time; O(OPEN_LIMIT) for each tenth.
-- A full Redis refuses the first HSET, before anything is written.
-- @include now
-- @include wake
-- @include place
-- @include due
-- @include make_job
-- @include open_jobs
local call = redis.call
local facts = K.recurring_facts(A.id)
local row = call('HMGET', facts, R.revision, R.next, R.open, R.waiting)
if row[1] ~= A.revision or row[2] ~= A.expected then
  return Fired.LOST
end
local jobs, at = 0, A.rest
while at <= #ARGV do
  jobs, at = jobs + 1, at + 6 + ARGV[at + 5]
end

local function give_up(field, count)
  if count > 0 then
    call('HINCRBY', facts, field, count)
    call('HSET', facts, R.gave_up, now)
  end
end

local function move_on()
  call('HSET', facts, R.next, A.next)
  call('HDEL', facts, R.waiting)
  call('ZADD', K.recurring_next, A.next == '' and '+inf' or A.next, A.id)
  give_up(R.missed, tonumber(A.missed))
  give_up(R.skipped, tonumber(A.passed))
end

local open = row[3] or ''
if A.overlap ~= 'allow' and jobs > 0 then
  open = open_jobs(open)
  if open ~= '' and A.overlap == 'queue' then
    if not row[4] then
      call('HSET', facts, R.waiting, '1')
    end
    call('ZADD', K.recurring_next, now + WAIT_MS, A.id)
    return Fired.WAITS
  elseif open ~= '' then
    move_on()
    give_up(R.skipped, jobs)
    return Fired.SKIPPED
  end
end

local count, passed, id, there = 0, 0, nil, nil
at = A.rest
while at <= #ARGV do
  at, id, there = make_job(at)
  if there then
    count, open = count + 1, add_open(open, id)
    call('HSET', facts, R.job, id, R.last, A.last, R.fired_at, now, R.open, open)
  elseif there == nil then
    passed = passed + 1
  end
end
move_on()
conclude_made()
if count > 0 then
  call('HINCRBY', facts, R.fired, count)
end
give_up(R.skipped, passed)
give_up(R.refused, jobs - count - passed)
if count + passed < jobs then
  return Fired.REFUSED
end
return passed == jobs and jobs > 0 and Fired.SKIPPED or Fired.FIRED
