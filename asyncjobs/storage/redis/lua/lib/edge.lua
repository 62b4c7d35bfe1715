-- attach(id, node, code), leave(node, id): edges from a parent to a job that waits for it, and what else is to
-- be known of them. A node is a job's id, or ~ and a batch's. A code says how the job waits (see keys.py): 4 · kind + 2
-- if it takes the parent's result + 1 if the job is on another shard. Kinds: 0 until it succeeds, 1 the same but not
-- beyond another end, 2 until it fails, 3 until it ends. An ending is a final state, or '' if the node was removed. O(1).
-- @include links
local function is_remote(code)
  return code % 2 == 1
end

local function takes_output(code)
  return math.floor(code / 2) % 2 == 1
end

local function what_follows(code, ending)
  local kind = math.floor(code / 4)
  if ending == '' then
    return Follow.UNMET
  elseif kind == 3 then
    return Follow.MET
  elseif kind == 2 then
    return ending == S.failed and Follow.MET or Follow.UNMET
  elseif ending == S.succeeded then
    return Follow.MET
  end
  return kind == 1 and Follow.UNMET or Follow.WAITS
end

local function is_batch(node)
  return string.sub(node, 1, 1) == '~'
end

local function key_of(node)
  return is_batch(node) and K.batch(string.sub(node, 2)) or K.job(node)
end

local function continuations_of(node)
  return is_batch(node) and K.batch_continuations(string.sub(node, 2)) or K.continuations(node)
end

-- How a node has ended; nil if it hasn't. A batch's state has the codes and the field of a job's.
local function ending_of(node)
  local row = redis.pcall('HGET', key_of(node), F.state)
  if type(row) ~= 'string' or row == STUB then
    return ''
  end
  return (row == S.succeeded or row == S.failed or row == S.cancelled) and row or nil
end

-- A job's result, put together: {value = …}, or {} if it wasn't kept or the node has none.
local function result_of(node)
  if is_batch(node) then
    return {}
  end
  local job = K.job(node)
  local row = redis.call('HMGET', job, F.result, F.result_dropped)
  if row[2] then
    return {}
  end
  local value, piece = row[1] or '', row[1]
  local number = 1
  while piece and #piece == PIECE and number < PIECES do
    piece = redis.call('HGET', job, F.result .. number)
    value = value .. (piece or '')
    number = number + 1
  end
  return { value = value }
end

local function why_unmet(node, ending)
  local what = 'its parent, ' .. (is_batch(node) and 'batch ' .. string.sub(node, 2) or 'job ' .. node)
  if ending == '' then
    return cmsgpack.pack({ 'ParentGone', what .. ', was removed', '' })
  end
  local as = ending == S.succeeded and 'succeeded' or ending == S.failed and 'failed' or 'cancelled'
  return cmsgpack.pack({ 'ParentUnmet', what .. ', ended as ' .. as, '' })
end

-- attach(id, node, code): has a job told of a node's end, or says what follows from the end it has had already:
-- a Follow, and the ending. WAITS: it will be told.
local function attach(id, node, code)
  local ending = ending_of(node)
  local follows = ending and what_follows(code, ending) or Follow.WAITS
  if follows == Follow.WAITS then
    redis.call('ZADD', continuations_of(node), code, id)
    if is_batch(node) then
      redis.call('HSET', key_of(node), B.continued, '1')
    else
      redis.call('HSET', key_of(node), F.continued, '1')
      mark(key_of(node), 'C')
    end
  end
  return follows, ending
end

-- leave(node, id): a job doesn't wait for a node any more.
local function leave(node, id)
  local key = continuations_of(node)
  if redis.call('ZREM', key, id) == 1 and redis.call('EXISTS', key) == 0 then
    redis.call('HDEL', key_of(node), F.continued)
  end
end
