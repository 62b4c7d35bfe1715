-- holder_of(key), claim_unique(id, unique), release_unique(id, unique), disown_unique(id, unique): who holds a unique key,
-- or nil, and then who has it but is past its deadline; a job takes it, whoever has it; a job lets go of it, if it is its
-- own and not held for a time; one that never appeared lets go of it in any case. `unique` is the job's field of that
-- name. O(1).
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
  local row = redis.pcall('HMGET', K.job(id), F.state, F.deadline, F.cancel_requested)
  local state = row[1]
  if not state or state == STUB or state == S.succeeded or state == S.failed or state == S.cancelled then
    return nil
  elseif state == S.processing then
    -- One that is to be cancelled won't do what is asked for anew.
    return not row[3] and id or nil
  elseif row[2] and now >= (tonumber(row[2]) or math.huge) then
    return nil, id
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

-- A time counts whatever becomes of a job, but only of one that was there: else calls would be lost for nothing.
local function disown_unique(id, unique)
  local _, _, key = parts_of(unique)
  local value = redis.pcall('GET', K.unique(key))
  if type(value) == 'string' and string.match(value, '^%S+') == id then
    redis.call('DEL', K.unique(key))
  end
end
