-- uses_of(limits), entry_of(id, use), touch(entry), renumber(entry), declare_limits(limits), room(entry, queue), save_limits(): what
-- is counted of limits (see `LimitStorage`). What a script changes is kept in `ledger` and written once,
-- by save_limits. Needs `put_off`.
-- O(1) each, once a script for each limit; O(starts that have left its window) for a rate.
local ledger = {
  all = {}, entries = {}, touched = {}, numbers = {}, uses = {}, throttled = {}, woken = {}, busy = {}, idle = {}, rates = 0,
}

local function name_of(id)
  return string.match(id, '^[^:]*')
end

-- What a job's field says: {most, per, id} of each. A text that many jobs have in common is read once.
local function uses_of(limits)
  local uses = ledger.uses[limits]
  if not uses then
    local most, per, id = string.match(limits, '^(%d+) (%d+) ([^\n]+)$')
    if most then
      -- Most jobs have one, and this is half the way to it.
      uses = { { most = tonumber(most), per = tonumber(per), id = id, name = name_of(id) } }
    else
      uses = {}
      for each, span, known in string.gmatch(limits, '(%d+) (%d+) ([^\n]+)') do
        uses[#uses + 1] = { most = tonumber(each), per = tonumber(span), id = known, name = name_of(known) }
      end
    end
    ledger.uses[limits] = uses
  end
  return uses
end

-- The numbers that count: {most, per}, or nil if none are known. O(1), once a script for each name.
local function numbers_of(name)
  local numbers = ledger.numbers[name]
  if numbers == nil then
    local text = redis.pcall('HGET', K.limits, name)
    local most, per, by_hand = string.match(type(text) == 'string' and text or '', '^(%d+) (%d+)( ?h?)$')
    numbers = most and { most = tonumber(most), per = tonumber(per), by_hand = by_hand == ' h' } or false
    ledger.numbers[name] = numbers
  end
  return numbers or nil
end

local function touch(entry)
  entry.changed = true
  if not entry.touched then
    entry.touched = true
    ledger.touched[#ledger.touched + 1] = entry
  end
end

-- Its numbers may be others than those that it was saved with.
local function renumber(entry)
  entry.renumbered = true
  touch(entry)
end

-- A count is never less than 0, whatever was lost.
local function more_enqueued(entry, queue, n)
  entry.enqueued[queue] = math.max((entry.enqueued[queue] or 0) + n, 0)
  touch(entry)
end

local function more_waiting(entry, queue, n)
  local before = entry.waiting[queue] or 0
  local after = math.max(before + n, 0)
  entry.waiting[queue], entry.waits = after, entry.waits + after - before
  touch(entry)
end

local function more_running(entry, n)
  entry.running = math.max(entry.running + n, 0)
  touch(entry)
end

-- Starts that have left the window don't count any more; none does of what isn't a rate any more.
local function forget_starts(entry)
  local key, horizon, rows = K.limit_starts(entry.id), now - entry.per, nil
  if entry.per == 0 then
    if entry.started > 0 then
      redis.call('UNLINK', key)
      entry.started = 0
      touch(entry)
    end
    return
  end
  repeat
    rows = redis.pcall('LRANGE', key, 0, 19)
    if rows.err then
      redis.call('UNLINK', key)
      rows = {}
    end
    local gone = 0
    entry.head = nil
    for _, row in ipairs(rows) do
      local at, n = string.match(row, '^(%d+) (%d+)$')
      if at and tonumber(at) > horizon then
        entry.head = tonumber(at)
        break
      end
      entry.started = math.max(entry.started - (n or 0), 0)
      gone = gone + 1
    end
    if gone > 0 then
      redis.call('LTRIM', key, gone, -1)
      touch(entry)
    end
  until gone < 20
  if not entry.head then
    entry.started = 0
    touch(entry)
  end
end

-- The numbers of the last one who made a job count, unless they were set by hand, for a limit of the same kind.
local function declare(use)
  local name = use.name
  local numbers = numbers_of(name)
  if numbers and numbers.by_hand and (numbers.per > 0) == (use.per > 0) then
    return
  elseif numbers and not numbers.by_hand and numbers.most == use.most and numbers.per == use.per then
    return
  end
  redis.call('HSET', K.limits, name, string.format('%.0f %.0f', use.most, use.per))
  ledger.numbers[name] = { most = use.most, per = use.per, by_hand = false }
  for _, entry in ipairs(ledger.all) do
    if name_of(entry.id) == name then
      entry.most, entry.per = use.most, use.per
      forget_starts(entry)
      renumber(entry)
    end
  end
  if numbers then
    put_off('n' .. name)
  end
end

local function declare_limits(limits)
  for _, use in ipairs(uses_of(limits)) do
    declare(use)
  end
end

-- `use`: as a job knows it, or nil where only the id is known.
local function entry_of(id, use)
  local entry = ledger.entries[id]
  if entry then
    return entry
  end
  local numbers = numbers_of(use and use.name or name_of(id)) or use or { most = 1e9, per = 0 }
  entry = {
    id = id, most = numbers.most, per = numbers.per, running = 0, started = 0, enqueued = {}, waiting = {}, waits = 0,
    starts = 0, was = {},
  }
  local flat = redis.pcall('HGETALL', K.limit(id))
  if flat.err then
    -- Something else was put there, and it mustn't stop what is limited.
    redis.call('UNLINK', K.limit(id))
    flat = {}
  end
  for at = 1, #flat, 2 do
    local field, n = flat[at], tonumber(flat[at + 1]) or 0
    entry.was[field] = n
    if field == L.running then
      entry.running = n
    elseif field == L.started then
      entry.started = n
    elseif string.sub(field, 1, 1) == L.waiting then
      entry.waiting[string.sub(field, 2)], entry.waits = n, entry.waits + n
    else
      entry.enqueued[string.sub(field, 2)] = n
    end
  end
  entry.active, entry.waited = #flat > 0, entry.waits > 0
  ledger.entries[id] = entry
  ledger.all[#ledger.all + 1] = entry
  forget_starts(entry)
  return entry
end

local function taken(entry)
  return entry.per > 0 and entry.started or entry.running
end

local function room(entry, queue)
  return entry.most - taken(entry) - (entry.enqueued[queue] or 0)
end

-- Writes what has changed. A field that has become 0 stays until all are.
local function save(entry)
  local key, set, was, lasting = K.limit(entry.id), {}, entry.was, entry.running > 0 or entry.waits > 0
  for queue, n in pairs(entry.enqueued) do
    lasting = lasting or n > 0
    if n ~= (was[L.enqueued .. queue] or 0) then
      set[#set + 1], set[#set + 2] = L.enqueued .. queue, n
    end
  end
  local active = lasting or entry.started > 0
  if active then
    if entry.running ~= (was[L.running] or 0) then
      set[#set + 1], set[#set + 2] = L.running, entry.running
    end
    if entry.started ~= (was[L.started] or 0) then
      set[#set + 1], set[#set + 2] = L.started, entry.started
    end
    for queue, n in pairs(entry.waiting) do
      if n ~= (was[L.waiting .. queue] or 0) then
        set[#set + 1], set[#set + 2] = L.waiting .. queue, n
      end
    end
  end
  if not active then
    if entry.active then
      redis.call('UNLINK', key)
    end
    ledger.idle[#ledger.idle + 1] = entry.id
  elseif #set > 0 then
    redis.call('HSET', key, unpack(set))
    if not entry.active then
      ledger.busy[#ledger.busy + 1], ledger.busy[#ledger.busy + 2] = 0, entry.id
      ledger.rates = ledger.rates + (entry.per > 0 and 1 or 0)
    end
  end
  if entry.starts > 0 then
    redis.call('RPUSH', K.limit_starts(entry.id), string.format('%.0f %.0f', now, entry.starts))
  end
  if entry.starts > 0 or (entry.renumbered and entry.per > 0 and entry.started > 0) then
    -- A longer span counts what started under a shorter one, which would have Redis forget it sooner.
    redis.call('PEXPIRE', K.limit_starts(entry.id), entry.per + STUB_MS)
  end
  if entry.per == 0 and was[L.started] then
    redis.call('PERSIST', key)
  elseif entry.per > 0 then
    -- What counts starts alone is of no use when they are past; anything else has to stay.
    if lasting then
      redis.call('PERSIST', key)
    else
      redis.call('PEXPIRE', key, entry.per + STUB_MS)
    end
    local head = entry.head or (entry.starts > 0 and now)
    if entry.waits > 0 and head then
      if redis.call('ZADD', K.limit_due, string.format('%.0f', head + entry.per), entry.id) == 1 then
        -- Whoever takes the marker hears of the new time.
        for queue, n in pairs(entry.waiting) do
          if n > 0 then
            follow.queues[queue] = follow.queues[queue] or true
          end
        end
      end
    elseif entry.waited then
      redis.call('ZREM', K.limit_due, entry.id)
    end
  end
end

-- Of a rate, what is counted expires by itself, and leaves its id behind. For each that is new, two are looked at, so that
-- at most about half of them are such.
local function forget_expired()
  for _, id in ipairs(redis.call('ZRANDMEMBER', K.active_limits, 2 * ledger.rates)) do
    if redis.call('EXISTS', K.limit(id)) == 0 then
      ledger.idle[#ledger.idle + 1] = id
    end
  end
end

-- save_limits(): writes all that this script has changed. Once, as its last step but waking. O(limits changed).
local function save_limits()
  -- A job may be let in and throttled again in one script, or the other way round: the last of it counts.
  local parked, left = {}, {}
  for id, is_throttled in pairs(ledger.throttled) do
    if is_throttled then
      parked[#parked + 1], parked[#parked + 2] = now, id
    else
      left[#left + 1] = id
    end
  end
  if #parked > 0 then
    redis.call('ZADD', K.throttled, unpack(parked))
  end
  if #left > 0 then
    redis.call('ZREM', K.throttled, unpack(left))
  end
  for _, entry in ipairs(ledger.all) do
    if entry.changed then
      save(entry)
    end
  end
  if ledger.rates > 0 then
    forget_expired()
  end
  if #ledger.busy > 0 then
    redis.call('ZADD', K.active_limits, unpack(ledger.busy))
  end
  if #ledger.idle > 0 then
    redis.call('ZREM', K.active_limits, unpack(ledger.idle))
  end
end
