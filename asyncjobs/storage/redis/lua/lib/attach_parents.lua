-- attach_parents(id, parents, from): has a new job told of its parents' ends, from a byte of their list on. Those that
-- ended already count at once. At most FOLLOW_LIMIT of them in one script; the rest becomes an entry of K.follow_ups.
-- Of a parent on another shard, that shard is asked by a message. O(parents).
-- @include follow_up
local function attach_parents(id, parents, from)
  local job, at = K.job(id), from
  while true do
    local first, last, code, node = string.find(parents, '(%d+) (%S+)', at)
    if not first then
      redis.call('HDEL', job, F.attached)
      return
    end
    if follow.left <= 0 then
      redis.call('HSET', job, F.attached, at)
      put_off('a' .. id)
      return
    end
    follow.left = follow.left - 1
    at, code = last + 1, tonumber(code)
    if is_remote(code) then
      redis.call('HSET', job, RECEIPT .. node, code)
      redis.call('HSET', K.outbox, 'A ' .. node .. ' ' .. id, code)
      put_off('x')
    else
      local follows, ending = attach(id, node, code)
      if follows == Follow.MET then
        met(id, node, takes_output(code) and result_of(node).value or nil)
      elseif follows == Follow.UNMET then
        -- It waits for none of the others, whose edge would stay.
        unmet(id, node, ending)
        return
      end
    end
  end
end
