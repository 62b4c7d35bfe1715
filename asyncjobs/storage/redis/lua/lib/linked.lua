-- ended(…), gone(…), enter_queue(…), fail_broken(id), follow_up(): those of `workflow`, under their own names. O(1) more.
-- @include workflow
local function ended(...)
  return workflow().ended(...)
end

local function gone(...)
  return workflow().gone(...)
end

local function enter_queue(...)
  return workflow().enter_queue(...)
end

local function fail_broken(id)
  return workflow().fail_broken(id)
end

local function follow_up()
  if made then
    made.follow_up()
  end
end
