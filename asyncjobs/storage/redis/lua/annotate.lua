-- annotate: progress and log lines of running attempts; those of other leases are dropped.
-- KEYS: t. ARGV: now, worker, then for each note: id, exchange, progress or "", message, n, n lines.
-- Reply: how many notes were kept. O(lines).
-- @include now
local i, kept = A.rest, 0
while i <= #ARGV do
  local id, exchange, progress, message, n = ARGV[i], ARGV[i + 1], ARGV[i + 2], ARGV[i + 3], tonumber(ARGV[i + 4])
  local job = K.job(id)
  local row = redis.call('HMGET', job, F.state, F.worker, F.exchange, F.attempt)
  if row[1] == S.processing and row[2] == A.worker and row[3] == exchange then
    kept = kept + 1
    if progress ~= '' then
      redis.call('HSET', job, F.progress, progress, F.progress_message, message)
    end
    if n > 0 then
      local head, lines = string.format('%.0f %s\n', now, row[4]), {}
      for line = math.max(i + 5, i + 5 + n - LOG_LIMIT), i + 4 + n do
        lines[#lines + 1] = head .. ARGV[line]
      end
      redis.call('RPUSH', K.log(id), unpack(lines))
      redis.call('LTRIM', K.log(id), -LOG_LIMIT, -1)
    end
  end
  i = i + 5 + n
end
return kept
