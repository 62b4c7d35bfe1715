-- open_batches: makes batches that are staging.
-- KEYS: t. ARGV: now, then for each batch: id, name, parent or "". Reply: Opened. O(batches · log n + depth).
-- @include now
-- @include join_batch
local call = redis.call
for i = A.rest, #ARGV, 3 do
  local id, name, parent = ARGV[i], ARGV[i + 1], ARGV[i + 2]
  local key = K.batch(id)
  if call('EXISTS', key) == 0 then
    local row = parent ~= '' and call('HMGET', K.batch(parent), B.state, B.depth) or {}
    local above, depth = row[1], tonumber(row[2] or 0) + 1
    if parent ~= '' and (not above or above == STUB) then
      return Opened.MISSING
    elseif depth > NEST_LIMIT then
      return Opened.TOO_DEEP
    end
    call('HSET', key, B.state, S.staging, B.name, name, B.created, now)
    if parent ~= '' then
      call('HSET', key, B.depth, depth)
    end
    if parent ~= '' then
      call('HSET', key, B.parent, parent)
    end
    if above == S.staging then
      join_batch(parent, { '~' .. id })
    else
      call('ZADD', K.batches, now, id)
    end
  elseif i == A.rest and call('HGET', key, B.state) ~= S.staging then
    return Opened.COMMITTED
  end
end
return Opened.DONE
