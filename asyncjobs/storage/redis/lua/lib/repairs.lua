-- to_mend(text, act), mended(): notes something that is wrong, by what is done about it in words, and how that is
-- done; and does all that was noted, unless A.apply is "". What is done, in words. O(what is done).
local repairs = {}
local function to_mend(text, act)
  repairs[#repairs + 1] = { text, act }
end

local function mended()
  local texts = {}
  if A.apply ~= '' and #repairs > 0 then
    -- A removing command, which a full Redis allows, so that all that follows is allowed too; and of a key that can't
    -- hold anything else, for what others hold may be what is wrong.
    redis.call('DEL', K.aside('-'))
  end
  for at, repair in ipairs(repairs) do
    texts[at] = repair[1]
    if A.apply ~= '' then
      repair[2]()
    end
  end
  return table.concat(texts, '; ')
end
