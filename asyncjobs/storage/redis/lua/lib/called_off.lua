-- called_off(batch): whether it, or one around it, is cancelled. O(depth), once a script for each batch.
local called = {}
local function called_off(batch)
  local path, found, at = {}, false, batch
  while at do
    if called[at] ~= nil then
      found = called[at]
      break
    end
    path[#path + 1] = at
    local row = redis.call('HMGET', K.batch(at), B.cancel_requested, B.parent)
    if row[1] then
      found = true
      break
    end
    at = row[2]
  end
  for _, below in ipairs(path) do
    called[below] = found
  end
  return found
end
