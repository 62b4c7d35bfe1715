-- note_repair(id, attempt, text): says in a job's history what was repaired. O(1).
-- @include history
local function note_repair(id, attempt, text)
  add_history(id, 'repaired', attempt, nil, cmsgpack.pack({ '', text, '' }))
end
