-- carried_out(seen, request): whether this request by hand was carried out before. O(1).
local function carried_out(seen, request)
  for at = 1, #(seen or ''), 8 do
    if string.sub(seen, at, at + 7) == request then
      return true
    end
  end
  return false
end

-- remember(id, seen, request): notes one that is now carried out; one that is refused is answered alike anyway. O(1).
local function remember(id, seen, request)
  redis.call('HSET', K.job(id), F.requests, string.sub((seen or '') .. request, -32))
end
