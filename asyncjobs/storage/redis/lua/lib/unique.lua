-- holder_of(key), claim_unique(id, unique), release_unique(id, unique): who holds a unique key, or nil; a job takes it,
-- whoever has it; a job lets go of it, if it is its own. `unique` is the job's field of that name. O(1).
local function parts_of(unique)
  return string.match(unique, '^(%a) (%d+) (.*)$')
end

local function holder_of(key)
  local value = redis.pcall('GET', K.unique(key))
  if type(value) ~= 'string' then
    return nil
  end
  local id, til = string.match(value, '^(%S+) ?(%d*)$')
  if not id then
    return nil
  elseif til ~= '' then
    -- Redis forgets it by its own clock; a test's may be ahead.
    return tonumber(til) > now and id or nil
  end
  local state = redis.pcall('HGET', K.job(id), F.state)
  if type(state) ~= 'string' or state == STUB or state == S.succeeded or state == S.failed or state == S.cancelled then
    return nil
  end
  return id
end

local function claim_unique(id, unique)
  local til, period, key = parts_of(unique)
  if til == 'p' then
    redis.call('SET', K.unique(key), string.format('%s %.0f', id, now + period), 'PX', period)
  else
    redis.call('SET', K.unique(key), id)
  end
end

local function release_unique(id, unique)
  local til, _, key = parts_of(unique)
  if til ~= 'p' and redis.pcall('GET', K.unique(key)) == id then
    redis.call('DEL', K.unique(key))
  end
end
