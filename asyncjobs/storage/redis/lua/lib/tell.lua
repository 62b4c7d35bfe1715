-- tell(key, id, inboxes): tells the clients that wait for the end of a job or batch, whose hash is `key`. O(waiting clients).
local function tell(key, id, inboxes)
  redis.call('HDEL', key, F.inboxes)
  for inbox in string.gmatch(inboxes, '[^,]+') do
    redis.call('RPUSH', K.inbox(inbox), id)
    redis.call('PEXPIRE', K.inbox(inbox), STUB_MS)
  end
end
