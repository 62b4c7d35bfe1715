-- delete_job(id): takes a job that isn't running out of wherever it is, and leaves a stub; a Deleted code.
-- To be followed by conclude. O(log n).
-- @include unplace
-- @include leave_list
-- @include remove
-- @include tell
-- @include gone
local function delete_job(id)
  local row = redis.call('HMGET', K.job(id), F.state, F.queue, F.priority, F.inboxes, F.batch, F.continued, F.parents,
    F.limits, F.throttled_by, F.unique)
  local state = row[1]
  if not state or state == STUB then
    return Deleted.MISSING
  end
  if state == S.processing then
    return Deleted.RUNNING
  end
  -- Of a job that is gone there may be several ghosts: nothing has to be told of it any more.
  unplace(id, state, row[2], row[3], row[8], row[9])
  leave_list(id, state)
  if row[4] then
    tell(K.job(id), id, row[4])
  end
  local waits = row[7] and (state == S.awaiting or state == S.staging)
  local rest = waits and detach(id, row[7], 1)
  remove(id, true)
  detach_rest(id, row[7], rest)
  local batch = row[10] and row[5] and redis.call('HGET', K.batch(row[5]), B.state)
  if batch == S.staging or batch == STUB then
    disown_unique(id, row[10])
  elseif row[10] then
    release_unique(id, row[10])
  end
  gone(id, state, row[5], row[6])
  return Deleted.DELETED
end
