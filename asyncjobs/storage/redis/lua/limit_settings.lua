-- limit_settings: all limits' numbers. KEYS: t. ARGV: none. Reply: name, numbers, … O(limits).
return redis.call('HGETALL', K.limits)
