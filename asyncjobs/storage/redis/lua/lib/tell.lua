-- tell(id, inboxes): tells the clients that wait for a job's end. O(waiting clients).
local function tell(id, inboxes)
  redis.call('HDEL', K.job(id), F.inboxes)
  for inbox in string.gmatch(inboxes, '[^,]+') do
    redis.call('RPUSH', K.inbox(inbox), id)
    redis.call('PEXPIRE', K.inbox(inbox), STUB_MS)
  end
end
