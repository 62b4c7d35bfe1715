-- give_up(batch), sweep_members(batch), forget_batch(batch): a batch that was never committed is not to be; a bounded
-- number of its members is removed, at last the batch; the record of one is removed, and what still waits for it
-- cancelled. O(log n), O(members · log n), O(continuations).
-- @include follow_up
-- @include remove
local function give_up(batch)
  redis.call('HSET', K.batch(batch), B.state, STUB)
  redis.call('ZREM', K.batches, batch)
  put_off('d' .. batch)
end

local function forget_batch(batch)
  local inboxes = redis.call('HGET', K.batch(batch), B.inboxes)
  if inboxes then
    tell(K.batch(batch), batch, inboxes)
  end
  redis.call('UNLINK', K.batch(batch), K.members(batch))
  redis.call('ZREM', K.batches, batch)
  following.endings[#following.endings + 1] = { '~' .. batch, '' }
end

local function sweep_members(batch)
  local ids = redis.call('ZRANGE', K.members(batch), 0, follow.left - 1)
  local whole = #ids < follow.left
  follow.left = follow.left - #ids
  for _, id in ipairs(ids) do
    if is_batch(id) then
      if redis.call('HGET', key_of(id), B.state) == S.staging then
        give_up(string.sub(id, 2))
      end
    else
      local row = redis.pcall('HMGET', K.job(id), F.state, F.inboxes, F.parents, F.unique)
      if row[2] then
        tell(K.job(id), id, row[2])
      end
      if row[4] then
        disown_unique(id, row[4])
      end
      local rest = row[3] and detach(id, row[3], 1)
      remove(id, true)
      detach_rest(id, row[3], rest)
      redis.call('ZREM', K.cancelled, id)
      following.endings[#following.endings + 1] = { id, '' }
    end
  end
  if #ids > 0 then
    redis.call('ZREM', K.members(batch), unpack(ids))
  end
  if whole then
    redis.call('ZREM', K.follow_ups, 'd' .. batch)
    forget_batch(batch)
  end
end
