-- remove(id, stub): deletes a job with its history and log; the stub keeps a create sent again from reviving it. O(1).
local function remove(id, stub)
  local job = K.job(id)
  redis.call('UNLINK', job, K.history(id), K.log(id))
  if stub then
    redis.call('HSET', job, F.state, STUB)
    redis.call('PEXPIRE', job, STUB_MS)
  end
end
