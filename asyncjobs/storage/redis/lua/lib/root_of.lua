-- root_of(batch): the outermost batch that it is in, which is the one that it is committed with, or given up; and the
-- state of that. O(depth · log n), once a script for each batch.
local roots = {}
local function root_of(batch)
  local path, root = {}, batch
  while not roots[root] do
    path[#path + 1] = root
    local above = redis.call('HGET', K.batch(root), B.parent)
    if not above or not redis.call('ZSCORE', K.members(above), '~' .. root) then
      roots[root] = root
    else
      root = above
    end
  end
  root = roots[root]
  for _, below in ipairs(path) do
    roots[below] = root
  end
  return root, redis.call('HGET', K.batch(root), B.state)
end
