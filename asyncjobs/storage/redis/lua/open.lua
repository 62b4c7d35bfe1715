-- open: checks, or on first use sets, the schema version of the namespace.
-- KEYS: t. ARGV: now. Reply: the version of the data. O(1).
-- @include now
local version = redis.call('HGET', K.meta, M.version)
if not version then
  version = SCHEMA_VERSION
  redis.call('HSET', K.meta, M.version, version, M.alive, now)
end
return tonumber(version)
