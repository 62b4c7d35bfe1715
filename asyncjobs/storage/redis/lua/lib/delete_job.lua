-- delete_job(id): takes a job that isn't running out of wherever it is, and leaves a stub; a Deleted code. O(log n).
-- @include unplace
-- @include leave_list
-- @include remove
-- @include tell
local function delete_job(id)
  local row = redis.call('HMGET', K.job(id), F.state, F.queue, F.priority, F.inboxes)
  local state = row[1]
  if not state or state == STUB then
    return Deleted.MISSING
  end
  if state == S.processing then
    return Deleted.RUNNING
  end
  unplace(id, state, row[2], row[3])
  leave_list(id, state)
  if row[4] then
    tell(id, row[4])
  end
  remove(id, true)
  return Deleted.DELETED
end
