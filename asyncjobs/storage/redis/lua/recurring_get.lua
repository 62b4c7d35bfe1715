-- recurring_get: one recurring job.
-- KEYS: t. ARGV: now, id. Reply: what lib/recurring_told gives, or nil. Cost: O(1).
-- @include now
-- @include recurring_row
-- @include recurring_told
return told_of(A.id, orphan_hold()) or false
