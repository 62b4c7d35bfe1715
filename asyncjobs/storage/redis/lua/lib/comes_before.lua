-- comes_before(holder, parents): whether a job that waits would never run if one with these parents took its place: it is one of
-- them, or of those that they wait for, or in a batch that is. O(parents + jobs that wait before it, FOLLOW_LIMIT at most).
-- @include edge
local function comes_before(holder, parents)
  local row = redis.pcall('HMGET', K.job(holder), F.state, F.batch)
  if row.err or row[1] == S.processing or row[1] == S.succeeded or row[1] == S.failed or row[1] == S.cancelled then
    -- Nobody takes it out of there.
    return false
  end
  local wanted, batch = { [holder] = true }, row[2]
  while batch do
    wanted['~' .. batch] = true
    batch = redis.call('HGET', K.batch(batch), B.parent)
  end
  local lists, seen, left, at = { parents }, {}, FOLLOW_LIMIT, 1
  while lists[at] do
    for _, node in string.gmatch(lists[at], '(%d+) (%S+)') do
      if wanted[node] then
        return true
      elseif left > 0 and not seen[node] and not is_batch(node) then
        seen[node], left = true, left - 1
        local before = redis.pcall('HMGET', K.job(node), F.state, F.parents)
        if (before[1] == S.awaiting or before[1] == S.staging) and before[2] then
          lists[#lists + 1] = before[2]
        end
      end
    end
    at = at + 1
  end
  return false
end
