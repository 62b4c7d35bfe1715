-- workflow(): the functions that batches, continuations, limits and unique jobs need (see the parts that are included), by
-- their names, for the scripts that most jobs go through. Making them all costs Redis about 10 µs a script, so it is done when first
-- asked for. O(1).
local made
local function workflow()
  if not made then
-- @include follow
-- @include conclude
-- @include create_linked
-- @include cancel_job
-- @include gone
-- @include take_controlled
    made = {
      ended = ended, gone = gone, create_linked = create_linked, join_all = join_all, follow_up = follow_up,
      conclude = conclude, follow = follow, enter_queue = enter_queue, fail_broken = fail_broken, let_go = let_go,
      take_controlled = take_controlled, drop_enqueued = drop_enqueued, end_controlled = end_controlled,
      open_windows = open_windows,
    }
  end
  return made
end
