-- drop_worker(worker): removes all that is known of a worker that holds no lease. O(1).
local function drop_worker(worker)
  redis.call('UNLINK', K.worker(worker), K.held(worker), K.control(worker), K.cancels(worker))
  redis.call('ZREM', K.workers, worker)
end
