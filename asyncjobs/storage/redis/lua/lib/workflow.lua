-- workflow(): the functions that batches and continuations need (see the parts that are included), by their names, for
-- the scripts that most jobs go through. Making them all costs Redis about 10 µs a script, so it is done when first
-- asked for. O(1).
local made
local function workflow()
  if not made then
-- @include follow
-- @include conclude
-- @include create_linked
-- @include cancel_job
-- @include gone
    made = {
      ended = ended, gone = gone, end_cancelled = end_cancelled, create_linked = create_linked, join_all = join_all,
      follow_up = follow_up, conclude = conclude, follow = follow,
    }
  end
  return made
end
