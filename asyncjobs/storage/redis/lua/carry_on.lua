-- carry_on: goes on with what one script was too short for: the first of K.follow_ups, as far as it gets.
--   r + node: its continuations hear of its end; a + job: its parents are asked to tell it of their ends; l + job: they
--   need not any more;
--   w + limit: jobs that wait for it are let in; n + limit's name (and, after a line end, the last one looked at): the same
--   for all its keys;
--   c + batch: its members leave `staging`; k + batch: they are cancelled; d + batch: they are removed;
--   x: messages for other shards, which the caller has to deliver and then to acknowledge.
-- KEYS: t. ARGV: now. Reply: {1 if there is more, some of the messages: field, value, …, "" or the entry that can't be
-- carried on, and why}. O(FOLLOW_LIMIT · log n).
-- One that can't be (a key holds something else) is dropped, or it would stop all others for ever.
-- @include now
-- @include attach_parents
-- @include place_members
-- @include cancel_members
-- @include sweep_batch
-- @include conclude
redis.call('HDEL', K.meta, '-')
local entry = redis.call('ZRANGE', K.follow_ups, 0, 0)[1]
if not entry then
  return { 0, {}, '' }
end
local kind, what = string.sub(entry, 1, 1), string.sub(entry, 2)
local messages = {}

local function state_of(batch)
  return redis.call('HGET', K.batch(batch), B.state)
end

local function go_on()
  if kind == 'x' then
    local cursor = '0'
    repeat
      -- Where many were taken out, a scan finds nothing for a while.
      local found = redis.call('HSCAN', K.outbox, cursor, 'COUNT', 50)
      cursor, messages = found[1], found[2]
    until #messages > 0 or cursor == '0'
    redis.call('ZREM', K.follow_ups, entry)
    if #messages > 0 then
      -- Behind everything else, and here again until they are acknowledged.
      redis.call('ZADD', K.follow_ups, now, entry)
    end
  elseif kind == 'r' then
    redis.call('ZREM', K.follow_ups, entry)
    local ending = ending_of(what)
    if ending then
      following.endings[1] = { what, ending }
    end
  elseif kind == 'a' then
    redis.call('ZREM', K.follow_ups, entry)
    local row = redis.pcall('HMGET', K.job(what), F.state, F.parents, F.attached)
    if (row[1] == S.awaiting or row[1] == S.staging) and row[2] and row[3] then
      attach_parents(what, row[2], tonumber(row[3]))
    end
  elseif kind == 'l' then
    redis.call('ZREM', K.follow_ups, entry)
    local row = redis.pcall('HMGET', K.job(what), F.parents, F.attached)
    if row[1] and row[2] then
      detach_rest(what, row[1], detach(what, row[1], tonumber(row[2])))
    end
  elseif kind == 'w' then
    redis.call('ZREM', K.follow_ups, entry)
    touch(entry_of(what))
  elseif kind == 'n' then
    redis.call('ZREM', K.follow_ups, entry)
    local name, last = string.match(what, '^([^\n]*)\n?(.*)$')
    local from = last == '' and '[' .. name or '(' .. last
    -- What comes after a colon in ASCII is a semicolon.
    local ids = redis.call('ZRANGEBYLEX', K.active_limits, from, '(' .. name .. ';', 'LIMIT', 0, WINDOWS_LIMIT)
    for _, id in ipairs(ids) do
      if id == name or string.sub(id, 1, #name + 1) == name .. ':' then
        renumber(entry_of(id))
      end
    end
    if #ids == WINDOWS_LIMIT then
      put_off('n' .. name .. '\n' .. ids[#ids])
    end
  elseif kind == 'c' then
    local state = state_of(what)
    if state and state ~= STUB and state ~= S.staging then
      place_members(what)
    else
      redis.call('ZREM', K.follow_ups, entry)
    end
  elseif kind == 'k' and redis.call('HEXISTS', K.batch(what), B.cancel_requested) == 1 then
    cancel_members(what)
  elseif kind == 'd' and state_of(what) == STUB then
    sweep_members(what)
  else
    redis.call('ZREM', K.follow_ups, entry)
  end
  conclude({})
end

local done, why = pcall(go_on)
if not done then
  redis.call('ZREM', K.follow_ups, entry)
end
return { redis.call('EXISTS', K.follow_ups), messages,
  done and '' or entry .. ': ' .. (type(why) == 'table' and why.err or tostring(why)) }
