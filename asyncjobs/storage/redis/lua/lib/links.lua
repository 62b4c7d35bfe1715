-- links_of(linked), mark(job, flag): the field that says in short whether there is more to know of a job: flags (C: jobs
-- wait for it, or did; I: results of its parents are handed to it; L: it is under limits; U: it has a unique key; X: it
-- expires), a colon, and the batch that it is a member of. The batch or nil, and the flags; and a flag that is set. O(1).
local function links_of(linked)
  local flags, batch = string.match(linked, '^(%a*):(.*)$')
  return batch ~= '' and batch or nil, flags or ''
end

local function mark(job, flag)
  local linked = redis.call('HGET', job, F.linked) or ':'
  if not string.find(linked, '^%a*' .. flag) then
    redis.call('HSET', job, F.linked, flag .. linked)
  end
end
