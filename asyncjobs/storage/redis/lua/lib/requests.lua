-- remember(id, seen, request): false if this request by hand was carried out before; else notes it. O(1).
local function remember(id, seen, request)
  seen = seen or ''
  for at = 1, #seen, 8 do
    if string.sub(seen, at, at + 7) == request then
      return false
    end
  end
  redis.call('HSET', K.job(id), F.requests, string.sub(seen .. request, -32))
  return true
end
