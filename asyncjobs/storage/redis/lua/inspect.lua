-- inspect: what an audit has to know of jobs.
-- KEYS: t. ARGV: ids. Reply: for each the values of its fields, or false where its key holds no job (a stub, say); the
-- parents on other shards that it hasn't heard of, as one string, come first. O(ids), O(fields) for those that wait.
local reply = {}
for at = A.rest, #ARGV do
  local row = redis.pcall('HMGET', K.job(ARGV[at]), F.state, F.queue, F.worker, F.batch, F.unmet, F.parents, F.continued,
    F.exchange, F.cancel_requested, F.ghost_in, F.expires, F.linked, F.takes_outputs, F.enqueued, F.created, F.started,
    F.limits, F.throttled_by, F.unique, F.deadline, F.throttled_at)
  if row.err or row[1] == STUB or (not row[1] and redis.call('EXISTS', K.job(ARGV[at])) == 0) then
    reply[#reply + 1] = false
  else
    local unheard = {}
    if row[6] and (row[1] == S.awaiting or row[1] == S.staging) then
      for _, name in ipairs(redis.call('HKEYS', K.job(ARGV[at]))) do
        if string.sub(name, 1, 1) == RECEIPT then
          unheard[#unheard + 1] = string.sub(name, 2)
        end
      end
    end
    table.insert(row, 1, table.concat(unheard, ' '))
    reply[#reply + 1] = row
  end
end
return reply
