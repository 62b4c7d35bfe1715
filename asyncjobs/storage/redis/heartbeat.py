"""A worker's lease on one shard, renewed over a connection of its own from a thread.

It is synchronous on purpose: an event loop that is blocked must not lose its jobs.
"""

from __future__ import annotations

from typing import Any, cast

import redis
from redis import exceptions as redis_errors

from asyncjobs.errors import StorageUnavailable
from asyncjobs.storage.base import HeartbeatReply
from asyncjobs.storage.redis import scripts
from asyncjobs.storage.redis.connection import is_passing, translate
from asyncjobs.storage.redis.pools import Pools
from asyncjobs.storage.redis.replies import pack_info
from asyncjobs.storage.redis.shard import Shard

BEAT_TIMEOUT = 3.0
"""Seconds without a reply after which the connection is given up and made anew."""


class RedisHeartbeatLink:
    """See `HeartbeatLink`."""

    def __init__(self, pools: Pools, shard: Shard, worker: str) -> None:
        self._pools = pools
        self._shard = shard
        self._worker = worker
        self._control = shard.keys.control(worker)
        self._redis: redis.Redis | None = None

    def _call(self, *args: Any) -> Any:
        try:
            if self._redis is None:
                self._redis = self._pools.sync_client(self._shard.tag, BEAT_TIMEOUT)
            return cast(Any, self._redis).execute_command(*args)
        except redis_errors.NoScriptError:
            raise
        except (redis_errors.RedisError, OSError) as error:
            if is_passing(error) or isinstance(error, redis_errors.AskError):
                self.close()
                raise StorageUnavailable(f"Redis can't be reached: {error}") from error
            raise translate(error) from error

    def wait(self, timeout: float) -> bool:
        """See `HeartbeatLink.wait`."""
        return self._call("BLPOP", self._control, timeout) is not None

    def beat(self, held: int, info: dict[str, object] | None = None) -> HeartbeatReply:
        """See `HeartbeatLink.beat`."""
        args = (self._shard.now(), self._worker, held, pack_info(info) if info is not None else b"")
        script = scripts.HEARTBEAT
        try:
            reply = self._call("EVALSHA", script.sha, 1, self._shard.tag, *args)
        except redis_errors.NoScriptError:
            reply = self._call("EVAL", script.source, 1, self._shard.tag, *args)
        now, cancelled, pairs, expired, command, follow_ups = reply
        return HeartbeatReply(
            now_ms=now,
            cancelled=[job.decode() for job in cancelled],
            held=None
            if pairs is None
            else [(pairs[at].decode(), int(pairs[at + 1])) for at in range(0, len(pairs), 2)],
            expired=bool(expired),
            follow_ups=bool(follow_ups),
            command=command.decode(),
        )

    def close(self) -> None:
        """See `HeartbeatLink.close`."""
        client, self._redis = self._redis, None
        if client is not None:
            client.close()
