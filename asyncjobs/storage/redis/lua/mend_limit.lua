-- mend_limit: a limit counts the jobs that are under it, and lets in those that it has room for.
-- KEYS: t. ARGV: now, apply ("" = only say what would be done), id, queues (that it may be waited for
-- in, besides those that are known, with spaces between).
-- Reply: what is done, "" if nothing is wrong; after a "!", why nothing can be done. O(leases + ids in queues), at most AT_ONCE
-- of them, and O(queues); those that wait are only counted: mend_throttled has looked at each.
-- @include now
-- @include repairs
-- @include conclude
local AT_ONCE = 10 * MEND_LIMIT
local key, id, left, busy = K.limit(A.id), A.id, AT_ONCE, false
local held, let_in, waiting, known = 0, {}, {}, nil

-- Whether a job is in a state and under this limit, and whether it counts it as a rate.
local function is_under(job, state, queue)
  local row = redis.pcall('HMGET', K.job(job), F.state, F.queue, F.limits)
  if row[1] ~= state or not row[3] or (queue and row[2] ~= queue) then
    return false
  end
  for _, use in ipairs(uses_of(row[3])) do
    if use.id == id then
      known = use
      return true, use.per > 0
    end
  end
  return false
end

-- Whether so many more can be looked at in this step, for what is counted in several would be of several moments.
local function can_count(n)
  left = left - n
  busy = busy or left < 0
  return not busy
end

local function count_held()
  for _, worker in ipairs(redis.call('ZRANGE', K.workers, 0, -1)) do
    local held_by = K.held(worker)
    local n = redis.pcall('SCARD', held_by)
    for _, job in ipairs(type(n) == 'number' and can_count(n) and redis.call('SMEMBERS', held_by) or {}) do
      local is_held, is_rate = is_under(job, S.processing)
      held = held + (is_held and not is_rate and 1 or 0)
    end
  end
end

local function count_let_in(queue)
  local places = {
    { 'LLEN', 'LRANGE', K.suspects(queue) }, { 'ZCARD', 'ZRANGE', K.priority(queue) }, { 'LLEN', 'LRANGE', K.queue(queue) },
  }
  local seen = {}
  for _, place in ipairs(places) do
    local length = redis.pcall(place[1], place[3])
    if type(length) == 'number' and can_count(length) then
      for _, job in ipairs(redis.call(place[2], place[3], 0, -1)) do
        if not seen[job] and is_under(job, S.enqueued, queue) then
          seen[job] = true
          let_in[queue] = (let_in[queue] or 0) + 1
        end
      end
    end
  end
end

local function count_waiting(queue)
  local waiters = K.limit_waiters(id .. ':' .. queue)
  local n = redis.pcall('ZCARD', waiters)
  if type(n) == 'number' and n > 0 then
    waiting[queue] = n
    -- What numbers it should have is known from any.
    is_under(redis.call('ZRANGE', waiters, 0, 0)[1], S.throttled, queue)
  end
end

local queues = {}
for _, queue in ipairs(redis.call('HKEYS', K.queues)) do
  queues[queue] = true
end
for queue in string.gmatch(A.queues, '%S+') do
  queues[queue] = true
end
local was, lasting = {}, false
local flat = redis.pcall('HGETALL', key)
for at = 1, flat.err and 0 or #flat, 2 do
  local field, n = flat[at], tonumber(flat[at + 1])
  was[field] = n or -1
  if field ~= L.running and field ~= L.started then
    queues[string.sub(field, 2)] = true
  end
end
count_held()
for queue in pairs(queues) do
  count_let_in(queue)
  count_waiting(queue)
end
if busy then
  return '!try again when no more than ' .. AT_ONCE .. ' jobs are enqueued and run: more are too many to be counted in one step'
end

local function compare(field, n, what)
  local said = was[field] or 0
  lasting = lasting or n > 0
  if said ~= n then
    to_mend(string.format('it counts %d %s where it said %d', n, what, said), function() end)
  end
end
compare(L.running, held, 'that run')
local names = {}
for queue in pairs(queues) do
  names[#names + 1] = queue
end
table.sort(names)
local numbers, vain = numbers_of(name_of(id)), {}
local starts = redis.pcall('LINDEX', K.limit_starts(id), -1)
local window = numbers and numbers.per > 0 and type(starts) == 'string'
for _, queue in ipairs(names) do
  compare(L.enqueued .. queue, let_in[queue] or 0, 'enqueued in ' .. queue)
  compare(L.waiting .. queue, waiting[queue] or 0, 'of ' .. queue .. ' that wait')
  local free = numbers and numbers.most - (numbers.per > 0 and 0 or held) or 0
  if (waiting[queue] or 0) > 0 and not window and free > (let_in[queue] or 0) then
    vain[#vain + 1] = queue
  end
end
if not numbers and redis.call('HEXISTS', K.limits, name_of(id)) == 1 then
  to_mend('its numbers, which can\'t be read, are forgotten', function()
    redis.call('HDEL', K.limits, name_of(id))
  end)
end
if not numbers and known then
  to_mend('its numbers are those of a job that is under it', function()
    declare(known)
  end)
end
if #vain > 0 then
  to_mend('those of ' .. table.concat(vain, ', ') .. ' are let in as far as there is room', function() end)
end
if window and next(waiting) and not redis.call('ZSCORE', K.limit_due, id) then
  to_mend('workers look at it again when its window opens', function() end)
end
if lasting and redis.call('PTTL', key) >= 0 then
  to_mend('it is not forgotten any more', function()
    redis.call('PERSIST', key)
  end)
end
if lasting and not redis.call('ZSCORE', K.active_limits, id) then
  to_mend('it is in the list of limits', function()
    redis.call('ZADD', K.active_limits, 0, id)
  end)
end
local text = mended()
if A.apply ~= '' and text ~= '' then
  local entry = entry_of(id)
  entry.running, entry.waits = held, 0
  for _, queue in ipairs(names) do
    entry.enqueued[queue], entry.waiting[queue] = let_in[queue], waiting[queue]
    entry.waits = entry.waits + (waiting[queue] or 0)
    if (was[L.enqueued .. queue] or 0) ~= 0 and not let_in[queue] then
      entry.enqueued[queue] = 0
    end
    if (was[L.waiting .. queue] or 0) ~= 0 and not waiting[queue] then
      entry.waiting[queue] = 0
    end
  end
  touch(entry)
  conclude({})
end
return text
