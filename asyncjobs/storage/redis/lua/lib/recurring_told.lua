-- told_of(id, hold): what readers are told of a recurring job: definition, facts, 1 if it is orphaned, and the state
-- of its last job or ""; nil if there is none. O(1).
local function told_of(id, hold)
  local flat = redis.call('HGETALL', K.recurring_facts(id))
  local definition = redis.call('HGET', K.recurring, id)
  if not definition or #flat == 0 then
    return nil
  end
  local row = redis.call('HMGET', K.recurring_facts(id), R.declared, R.orphaned, R.seen, R.job)
  local state = row[4] and redis.pcall('HGET', K.job(row[4]), F.state)
  return { id, definition, flat, is_orphaned(row[1], row[2], row[3], hold) and 1 or 0,
    type(state) == 'string' and state or '' }
end
