-- is_orphaned(declared, orphaned, seen, hold): whether a recurring job is declared, but by no worker any more. O(1).
local function is_orphaned(declared, orphaned, seen, hold)
  return declared and (orphaned or (now - (tonumber(seen) or 0) > ORPHAN_MS and now >= hold)) and true or false
end

-- orphan_hold(): before which time none is orphaned, while nobody has looked for so long as well. O(1).
local function orphan_hold()
  local row = redis.call('HMGET', K.meta, M.recurring_alive, M.recurring_hold)
  if row[1] and now - row[1] > math.floor(ORPHAN_MS / 2) then
    return math.huge
  end
  return tonumber(row[2] or 0)
end
