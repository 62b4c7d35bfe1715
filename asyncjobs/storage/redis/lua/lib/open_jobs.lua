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

-- add_open(ids, id): the ids with one more. Whenever they become ten more, those that have ended are left out; then the
-- oldest, if there are too many still. O(ids).
local function add_open(ids, id)
  local all = {}
  for known in string.gmatch(ids, '%S+') do
    if known ~= id then
      all[#all + 1] = known
    end
  end
  all[#all + 1] = id
  if #all % 10 ~= 1 or #all == 1 then
    return table.concat(all, ' ')
  end
  local open = open_jobs(table.concat(all, ' '))
  local _, count = string.gsub(open, '%S+', '')
  return count > OPEN_LIMIT and string.match(open, '^%S+ (.*)$') or open
end
