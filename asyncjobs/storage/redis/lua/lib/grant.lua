-- read_job(id), add_grant(grants, id, row, attempt): what a worker must know to run a job, nine values:
-- id, name, queue, payload, options, attempt, failures, recoveries, when it was enqueued. O(1). Of one that is a member
-- of a batch or takes results of its parents, `extras` tells three more: id, batch or "", {parent, result, …}. O(fields).
-- @include links
local extras = {}
local function read_job(id)
  return redis.pcall('HMGET', K.job(id), F.state, F.queue, F.name, F.payload, F.attempt, F.options, F.failures,
    F.recoveries, F.enqueued, F.created, F.linked)
end

local function add_grant(grants, id, row, attempt)
  local payload, n = row[4] or '', #grants
  if #payload == PIECE then
    -- One pass over the whole hash costs less than looking up each piece that may be there.
    local flat, pieces, piece = redis.call('HGETALL', K.job(id)), {}, 1
    for at = 1, #flat, 2 do
      pieces[flat[at]] = flat[at + 1]
    end
    while pieces[F.payload .. piece] do
      payload = payload .. pieces[F.payload .. piece]
      piece = piece + 1
    end
  end
  grants[n + 1], grants[n + 2], grants[n + 3], grants[n + 4] = id, row[3] or '', row[2], payload
  grants[n + 5], grants[n + 6], grants[n + 7] = row[6] or '', attempt, row[7] or '0'
  grants[n + 8], grants[n + 9] = row[8] or '0', row[9] or row[10] or '0'
  if row[11] then
    local batch, flags = links_of(row[11])
    local outputs = false
    if not batch and not string.find(flags, 'I', 1, true) then
      return
    end
    if string.find(flags, 'I', 1, true) then
      outputs = {}
      local flat = redis.call('HGETALL', K.job(id))
      for at = 1, #flat, 2 do
        if string.sub(flat[at], 1, 1) == OUTPUT then
          outputs[#outputs + 1] = string.sub(flat[at], 2)
          outputs[#outputs + 1] = flat[at + 1]
        end
      end
    end
    extras[#extras + 1], extras[#extras + 2], extras[#extras + 3] = id, batch or '', outputs
  end
end
