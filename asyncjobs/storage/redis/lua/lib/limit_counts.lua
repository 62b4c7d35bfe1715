-- uses_of(limits), entry_of(id, use), more(entry, field, n), declare(use), room(entry, queue), save(entry): what is
-- counted of limits (see `LimitStorage`). What a script changes is kept in `ledger` and written once,
-- by save. Needs `put_off`. O(1) each, once a script for each limit; O(starts that have left its window) for a rate.
local ledger = {
  all = {}, entries = {}, touched = {}, numbers = {}, uses = {}, parked = {}, woken = {}, left = {},
}

-- What a job's field says: {most, per, id} of each. A text that many jobs have in common is read once.
local function uses_of(limits)
  local uses = ledger.uses[limits]
  if not uses then
    uses = {}
    for most, per, id in string.gmatch(limits, '(%d+) (%d+) ([^\n]+)') do
      uses[#uses + 1] = { most = tonumber(most), per = tonumber(per), id = id }
    end
    ledger.uses[limits] = uses
  end
  return uses
end

local function name_of(id)
  return string.match(id, '^[^:]*')
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
  if not entry.touched then
    entry.touched = true
    ledger.touched[#ledger.touched + 1] = entry
  end
end

local function more(entry, field, n)
  entry.counts[field] = math.max((entry.counts[field] or 0) + n, 0)
  touch(entry)
end

-- Starts that have left the window don't count any more.
local function forget_starts(entry)
  local key, horizon, rows = K.limit_starts(entry.id), now - entry.per, nil
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
      more(entry, L.started, -(n or 0))
      gone = gone + 1
    end
    if gone > 0 then
      redis.call('LTRIM', key, gone, -1)
    end
  until gone < 20
  if not entry.head then
    more(entry, L.started, -(entry.counts[L.started] or 0))
  end
end

-- The numbers of the last one who made a job count, unless they were set by hand.
local function declare(use)
  local name = name_of(use.id)
  local numbers = numbers_of(name)
  if numbers and (numbers.by_hand or (numbers.most == use.most and numbers.per == use.per)) then
    return
  end
  redis.call('HSET', K.limits, name, string.format('%.0f %.0f', use.most, use.per))
  ledger.numbers[name] = { most = use.most, per = use.per, by_hand = false }
  for _, entry in ipairs(ledger.all) do
    if name_of(entry.id) == name then
      entry.most, entry.per = use.most, use.per
      if entry.per > 0 then
        forget_starts(entry)
      end
      touch(entry)
    end
  end
  if numbers then
    put_off('n' .. name)
  end
end

-- `use`: as a job knows it, or nil where only the id is known.
local function entry_of(id, use)
  local entry = ledger.entries[id]
  if entry then
    return entry
  end
  local numbers = numbers_of(name_of(id)) or use or { most = 1e9, per = 0 }
  entry = { id = id, most = numbers.most, per = numbers.per, counts = {}, was = {}, starts = 0 }
  local flat = redis.pcall('HGETALL', K.limit(id))
  if flat.err then
    -- Something else was put there, and it mustn't stop what is limited.
    redis.call('UNLINK', K.limit(id))
    flat = {}
  end
  for at = 1, #flat, 2 do
    local n = tonumber(flat[at + 1]) or 0
    entry.counts[flat[at]], entry.was[flat[at]] = n, n
    if n > 0 and string.sub(flat[at], 1, 1) == L.waiting then
      entry.waited = true
    end
  end
  entry.active = #flat > 0
  ledger.entries[id] = entry
  ledger.all[#ledger.all + 1] = entry
  if entry.per > 0 then
    forget_starts(entry)
  end
  return entry
end

local function taken(entry)
  return entry.counts[entry.per > 0 and L.started or L.running] or 0
end

local function room(entry, queue)
  return entry.most - taken(entry) - (entry.counts[L.enqueued .. queue] or 0)
end

local function save(entry)
  local key, set, unset, waiting, active, lasting = K.limit(entry.id), {}, {}, false, false, false
  for field, n in pairs(entry.counts) do
    if n > 0 then
      active = true
      lasting = lasting or field ~= L.started
      waiting = waiting or string.sub(field, 1, 1) == L.waiting
    end
    if n ~= (entry.was[field] or 0) then
      if n > 0 then
        set[#set + 1], set[#set + 2] = field, n
      else
        unset[#unset + 1] = field
      end
      entry.was[field] = n
    end
  end
  if #set > 0 then
    redis.call('HSET', key, unpack(set))
  end
  if #unset > 0 then
    redis.call('HDEL', key, unpack(unset))
  end
  if active ~= entry.active then
    redis.call(active and 'ZADD' or 'ZREM', K.active_limits, unpack(active and { 0, entry.id } or { entry.id }))
    entry.active = active
  end
  if entry.starts > 0 then
    redis.call('RPUSH', K.limit_starts(entry.id), string.format('%.0f %.0f', now, entry.starts))
    redis.call('PEXPIRE', K.limit_starts(entry.id), entry.per + STUB_MS)
    entry.head, entry.starts = entry.head or now, 0
  end
  if entry.per > 0 then
    -- What counts starts alone is of no use when they are past; anything else has to stay.
    if lasting then
      redis.call('PERSIST', key)
    else
      redis.call('PEXPIRE', key, entry.per + STUB_MS)
    end
    if waiting and entry.head then
      if redis.call('ZADD', K.limit_due, string.format('%.0f', entry.head + entry.per), entry.id) == 1 then
        -- Whoever takes the marker hears of the new time.
        for field, n in pairs(entry.counts) do
          if n > 0 and string.sub(field, 1, 1) == L.waiting then
            local queue = string.sub(field, 2)
            follow.queues[queue] = follow.queues[queue] or true
          end
        end
      end
    elseif entry.waited then
      redis.call('ZREM', K.limit_due, entry.id)
    end
    entry.waited = waiting
  end
end
