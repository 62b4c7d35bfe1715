-- jobs: a page of the jobs in a state.
-- KEYS: t. ARGV: state, queue (enqueued only), offset, limit, newest_first ("1" or "0").
-- Reply: {total, then for each job: id, its fields and values, its score or false}.
-- O(log n + offset + limit); processing: O(leases).
-- @include list_of
local offset, limit, reverse = tonumber(A.offset), tonumber(A.limit), A.newest_first == '1'
local reply, total = { 0 }, 0

local function add(id, score)
  local row = redis.pcall('HGETALL', K.job(id))
  reply[#reply + 1] = id
  reply[#reply + 1] = row.err and {} or row
  reply[#reply + 1] = score
end

local function page_of(ids)
  for at = offset + 1, math.min(offset + limit, #ids) do
    add(ids[reverse and #ids - at + 1 or at], false)
  end
end

local list = list_of(A.state)
if list then
  total = redis.call('ZCARD', list)
  -- A range that ends before it begins is empty, but one that ends at -1 is everything.
  local rows = limit > 0
    and redis.call(reverse and 'ZREVRANGE' or 'ZRANGE', list, offset, offset + limit - 1, 'WITHSCORES') or {}
  for at = 1, #rows, 2 do
    add(rows[at], rows[at + 1])
  end
elseif A.state == S.processing then
  local ids = {}
  local workers = redis.call('ZRANGE', K.workers, 0, -1)
  table.sort(workers)
  for _, worker in ipairs(workers) do
    local held = redis.call('SMEMBERS', K.held(worker))
    table.sort(held)
    for _, id in ipairs(held) do
      ids[#ids + 1] = id
    end
  end
  total = #ids
  page_of(ids)
elseif A.state == S.enqueued then
  local plain, prior, suspects = K.queue(A.queue), K.priority(A.queue), K.suspects(A.queue)
  local before = redis.call('ZCOUNT', prior, '-inf', '(0')
  local parts = {
    { suspects, redis.call('LLEN', suspects) },
    { prior, before, 0 },
    { plain, redis.call('LLEN', plain) },
    { prior, redis.call('ZCARD', prior) - before, before },
  }
  for at = reverse and 4 or 1, reverse and 1 or 4, reverse and -1 or 1 do
    local key, length, shift = parts[at][1], parts[at][2], parts[at][3]
    total = total + length
    if offset < length and limit > 0 then
      local first, last = offset, math.min(offset + limit, length) - 1
      if reverse then
        first, last = length - 1 - last, length - 1 - first
      end
      local ids = redis.call(shift and 'ZRANGE' or 'LRANGE', key, first + (shift or 0), last + (shift or 0))
      for k = 1, #ids do
        local id = ids[reverse and #ids - k + 1 or k]
        local row = redis.pcall('HMGET', K.job(id), F.state, F.queue)
        if row[1] == S.enqueued and row[2] == A.queue then
          add(id, false)
        end
      end
      limit = limit - #ids
      offset = 0
    else
      offset = math.max(offset - length, 0)
    end
  end
  total = math.max(total - (redis.call('HGET', K.ghosts, A.queue) or 0), 0)
end
reply[1] = total
return reply
