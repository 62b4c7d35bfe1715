-- mend_node: what jobs wait for knows of it, and if it has ended or is gone, they hear of that.
-- KEYS: t. ARGV: now, apply ("" = only say what would be done), node, child ("" or a job that is to hear of its end: does it
-- wait for it?).
-- Reply: what is done, "" if nothing is wrong. O(continuations, bounded, log n each); O(parents) of the child.
-- @include now
-- @include repairs
-- @include conclude
local node, child = A.node, A.child
local key = continuations_of(node)
local count = redis.pcall('ZCARD', key)
local row = redis.pcall('HMGET', key_of(node), F.state, F.continued)
if type(count) == 'table' or row.err or redis.call('ZSCORE', K.follow_ups, 'r' .. node) then
  return ''
end
local is_there = row[1] and row[1] ~= STUB

local function names(parents)
  return string.find(' ' .. parents .. ' ', ' ' .. node .. ' ', 1, true)
end

if child ~= '' then
  local code = tonumber(redis.call('ZSCORE', key, child) or nil)
  local job = redis.pcall('HMGET', K.job(child), F.state, F.parents)
  local waits = job[1] == S.awaiting or job[1] == S.staging
  if code and not is_remote(code) and not job.err and not redis.call('ZSCORE', K.follow_ups, 'l' .. child)
    and not (waits and names(job[2] or '')) then
    to_mend(child .. ' doesn\'t hear of its end, for it doesn\'t wait for that', function()
      leave(node, child)
    end)
  end
elseif count == 0 then
  if is_there and row[2] then
    to_mend('it isn\'t kept for others any more', function()
      redis.call('HDEL', key_of(node), F.continued)
    end)
  end
elseif not is_there then
  local strangers = {}
  for _, id in ipairs(redis.call('ZRANGE', key, 0, MEND_LIMIT - 1)) do
    local parents = redis.pcall('HGET', K.job(id), F.parents)
    if type(parents) == 'string' and not names(parents) then
      strangers[#strangers + 1] = id
    end
  end
  if #strangers > 0 then
    to_mend('those that don\'t wait for it don\'t hear of it', function()
      redis.call('ZREM', key, unpack(strangers))
    end)
  end
  if #strangers < count then
    to_mend('those that wait for it are cancelled', function()
      following.endings[1] = { node, '' }
    end)
  end
elseif not row[2] then
  to_mend('it is kept for those that wait for it', function()
    redis.call('HSET', key_of(node), F.continued, '1')
    if not is_batch(node) then
      mark(key_of(node), 'C')
    end
  end)
end
local text = mended()
if A.apply ~= '' and text ~= '' then
  conclude({})
end
return text
