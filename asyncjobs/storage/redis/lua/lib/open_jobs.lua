-- open_jobs(ids): which of the jobs, given with spaces between, haven't ended, in the same form. O(ids).
local function open_jobs(ids)
  local open = {}
  for id in string.gmatch(ids, '%S+') do
    local state = redis.pcall('HGET', K.job(id), F.state)
    if type(state) == 'string' and state ~= STUB and state ~= S.succeeded and state ~= S.failed and state ~= S.cancelled then
      open[#open + 1] = id
    end
  end
  return table.concat(open, ' ')
end

-- add_open(ids, id): the ids with one more, the oldest left out if they become too many. O(ids).
local function add_open(ids, id)
  local all = {}
  for known in string.gmatch(ids, '%S+') do
    if known ~= id then
      all[#all + 1] = known
    end
  end
  all[#all + 1] = id
  return table.concat(all, ' ', math.max(1, #all - OPEN_LIMIT + 1))
end
