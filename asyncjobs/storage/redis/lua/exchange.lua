-- exchange: a worker hands in what is done and fetches as many jobs as it has free slots.
-- KEYS: t. ARGV: now, worker, number, slots, queues (names with spaces between), popped (the same),
--   ages of succeeded, failed and cancelled jobs (ms), greatest number of each, then for each finish:
--   id, exchange, how ("0" = succeeded, or "outcome delay retention"), n, n result fields and values,
--   and the packed error where how isn't "0".
-- Reply: {now, a digit (Finished) for each finish, next due or "", 1 if that is this worker's, 1 if more,
--   1 if there are follow-ups, dropped ids with spaces between, {nine values for each grant (see lib/grant)}, {three
--   values for each that has more}}; error GONE or STALE.
-- Cost: O(finishes + grants + queues + what follows, bounded), O(log n) each for the sorted sets.
-- Begins with a removing command, which a full Redis allows, so that all that follows is allowed too.
-- @include now
-- @include bump
-- @include wake
-- @include history
-- @include remove
-- @include tell
-- @include due
-- @include links
-- @include place
-- @include follow
-- @include called_off
-- @include linked
-- @include promote_due
-- @include finish
-- @include skip
-- @include grant
-- @include fetch
-- @include trim_list
-- @include claim
local call = redis.call
local worker = K.worker(A.worker)
call('HDEL', worker, '-')
local me = call('HMGET', worker, W.number, W.reaping, W.suspect, W.codes, W.granted)
if not me[1] or me[2] then
  return redis.error_reply('GONE the worker is not registered')
end
local last, number = tonumber(me[1]), tonumber(A.number)
if number < last then
  return redis.error_reply('STALE exchange ' .. A.number .. ' comes after ' .. me[1])
end

local counts, lists, suspect, codes, touched, more = {}, {}, me[3] or nil, nil, {}, false
follow.counts, follow.queues = counts, touched
if number > last then
  for queue in string.gmatch(A.popped, '%S+') do
    touched[queue] = true
  end
  codes, suspect = finish_all(counts, lists, touched, suspect)
  follow_up()
end

local grants, dropped = {}, {}
-- One command that tells which of the three are there.
local timed = call('EXISTS', K.scheduled, K.retrying, K.retrying, K.limit_due, K.limit_due, K.limit_due, K.limit_due)
local due, retrying_left, left = math.huge, false, nil
if timed % 2 == 1 then
  left, more = promote_due(K.scheduled, S.scheduled, touched, dropped)
  due = math.min(due, left or due)
end
if timed % 4 >= 2 then
  left, retrying_left = promote_due(K.retrying, S.retrying, touched, dropped)
  due, more = math.min(due, left or due), more or retrying_left
end
if timed >= 4 then
  more = workflow().open_windows() or more
end
follow_up()

if number > last then
  local granted, skipped_all
  granted, suspect, skipped_all = fetch(grants, dropped, touched, suspect)
  more = more or skipped_all
  call('HSET', worker, W.number, number, W.codes, codes, W.granted, table.concat(granted, ' '))
  if suspect ~= me[3] and (suspect or me[3]) then
    if suspect then
      call('HSET', worker, W.suspect, suspect)
    else
      call('HDEL', worker, W.suspect)
    end
  end
else
  codes = me[4] or ''
  follow.put_off = call('EXISTS', K.follow_ups) == 1
  for id in string.gmatch(me[5] or '', '%S+') do
    local row = read_job(id)
    local lease = redis.pcall('HMGET', K.job(id), F.worker, F.exchange)
    if row[1] == S.processing and lease[1] == A.worker and lease[2] == A.number then
      add_grant(grants, id, row, tonumber(row[5]) or 1)
    end
  end
end
follow_up()
if made then
  made.save_limits()
end
for queue in pairs(touched) do
  wake(queue)
end

for state, added in pairs(lists) do
  local limit, age, list = #added, A.succeeded_ms, K.succeeded
  if state == S.failed then
    age, list = A.failed_ms, K.failed
  elseif state == S.cancelled then
    age, list = A.cancelled_ms, K.cancelled
  end
  local removed = trim_list(list, state, tonumber(age), tonumber(A.max_jobs), limit)
  if removed > 0 then
    counts.trimmed = (counts.trimmed or 0) + removed
  end
end
bump(counts)

if timed >= 4 or made then
  due = math.min(due, due_head(K.limit_due) or due)
end
-- What was fetched last may have ended unstarted, and a continuation of it be due before all that was known.
due = math.min(due, follow.due or due)
local claimed = 0
if due == math.huge then
  due = ''
else
  due = string.format('%.0f', due)
  claimed = claim(M.due_claim, due) and 1 or 0
end
return { now, codes, due, claimed, more and 1 or 0, follow.put_off and 1 or 0, table.concat(dropped, ' '), grants,
  extras }
