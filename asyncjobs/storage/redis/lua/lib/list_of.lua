-- list_of(state): the sorted set of the jobs in a state; nil for those that are elsewhere. O(1).
local function list_of(state)
  if state == S.succeeded then return K.succeeded end
  if state == S.failed then return K.failed end
  if state == S.cancelled then return K.cancelled end
  if state == S.awaiting then return K.awaiting end
  if state == S.scheduled then return K.scheduled end
  if state == S.retrying then return K.retrying end
  if state == S.throttled then return K.throttled end
  return nil
end
