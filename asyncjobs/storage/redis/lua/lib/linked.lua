-- ended(id, state, batch, continued), gone(id, state, batch, continued), end_cancelled(id), follow_up(): those of
-- `workflow`, under their own names. O(1) more.
-- @include workflow
local function ended(...)
  return workflow().ended(...)
end

local function gone(...)
  return workflow().gone(...)
end

local function end_cancelled(...)
  return workflow().end_cancelled(...)
end

local function follow_up()
  if made then
    made.follow_up()
  end
end
