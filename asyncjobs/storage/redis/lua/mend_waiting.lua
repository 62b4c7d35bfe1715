-- mend_waiting: a job that waits is known to all of its parents that haven't ended as it wished, counts these, and goes
-- on if there are none. What it has heard stays heard, whatever has become of that parent.
-- KEYS: t. ARGV: now, apply ("" = only say what would be done), id.
-- Reply: what is done, "" if nothing is wrong; after a "!", why nothing can be done. O(parents, at most MEND_LIMIT).
-- @include now
-- @include repairs
-- @include note_repair
-- @include fail_job
-- @include conclude
local id = A.id
local job = K.job(id)
local row = redis.pcall('HMGET', job, F.state, F.parents, F.unmet, F.queue, F.priority, F.timing, F.attempt)
if (row[1] ~= S.awaiting and row[1] ~= S.staging) or redis.call('ZSCORE', K.follow_ups, 'a' .. id) then
  return ''
end
local parents, waits, told, lost, met_before, stopped, removed = 0, 0, {}, {}, {}, nil, nil
for code, node in string.gmatch(row[2] or '', '(%d+) (%S+)') do
  parents, code = parents + 1, tonumber(code)
  if parents > MEND_LIMIT then
    return '!it has too many parents to be mended: cancel it, and make it anew'
  end
  if is_remote(code) then
    waits = waits + redis.call('HEXISTS', job, RECEIPT .. node)
  else
    local edge = redis.pcall('ZSCORE', continuations_of(node), id)
    local ending = ending_of(node)
    local follows = ending and what_follows(code, ending) or Follow.WAITS
    local parent = { node = node, code = code, ending = ending, follows = follows }
    if type(edge) == 'table' then
      return ''
    elseif edge and (follows == Follow.WAITS or redis.call('ZSCORE', K.follow_ups, 'r' .. node)) then
      waits = waits + 1
    elseif edge then
      told[#told + 1] = parent
    elseif follows == Follow.WAITS then
      lost[#lost + 1] = parent
    elseif ending == '' then
      removed = parent
    elseif follows == Follow.UNMET then
      stopped = parent
    else
      met_before[#met_before + 1] = parent
    end
  end
end

local said = tonumber(row[3] or 0)
local short = (said or math.huge) - waits - #told
if short <= 0 then
  -- It counts no others: what has become of these is nothing to it.
  lost, stopped, removed, met_before = {}, nil, nil, {}
end
if parents == 0 and row[1] == S.awaiting then
  to_mend('it has failed, for its record doesn\'t say what it waits for', function()
    fail_job(id, 'its record doesn\'t say what it waits for', true)
  end)
elseif said ~= waits + #told or #told > 0 or (waits == 0 and row[1] == S.awaiting) then
  local ends_it = stopped or removed
  -- Those that ended as it wished may be what it still counts.
  if not said or short - #lost <= #met_before then
    ends_it = nil
  end
  local left = waits + #told + #lost
  local text = ends_it and 'it is cancelled, for ' .. ends_it.node .. ' can\'t let it run any more'
    or left > #told and 'it waits for ' .. left - #told .. ' parents' or 'it waits for nothing any more'
  to_mend(text, function()
    redis.call('HSET', job, F.unmet, left)
    redis.call('HDEL', job, F.attached)
    for _, parent in ipairs(lost) do
      attach(id, parent.node, parent.code)
    end
    for _, parent in ipairs(met_before) do
      local output = takes_output(parent.code) and redis.call('HEXISTS', job, OUTPUT .. parent.node) == 0
        and result_of(parent.node).value
      if output then
        redis.call('HSET', job, F.takes_outputs, '1', OUTPUT .. parent.node, output)
        mark(job, 'I')
      end
    end
    for _, parent in ipairs(told) do
      leave(parent.node, id)
      if parent.follows == Follow.MET then
        met(id, parent.node, takes_output(parent.code) and result_of(parent.node).value or nil)
      else
        unmet(id, parent.node, parent.ending)
      end
    end
    if ends_it then
      unmet(id, ends_it.node, ends_it.ending)
    elseif left == 0 and row[1] == S.awaiting then
      redis.call('ZREM', K.awaiting, id)
      start(id, row[4], row[5], row[6])
    end
  end)
end
local text = mended()
if A.apply ~= '' and text ~= '' then
  note_repair(id, row[7], text)
  conclude({})
end
return text
