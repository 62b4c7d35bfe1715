"""A worker's lease on one shard, renewed over a connection of its own from a thread.

It is synchronous on purpose: an event loop that is blocked must not lose its jobs.
"""

from __future__ import annotations

from typing import Any

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry
from redis.sentinel import Sentinel

from asyncjobs.errors import StorageUnavailable
from asyncjobs.storage.base import HeartbeatReply
from asyncjobs.storage.redis import scripts
from asyncjobs.storage.redis.connection import CONNECT_TIMEOUT, UNREACHABLE, SentinelURL, translate
from asyncjobs.storage.redis.replies import pack_info
from asyncjobs.storage.redis.shard import Shard

BEAT_TIMEOUT = 3.0
"""Seconds without a reply after which the connection is given up and made anew."""


class RedisHeartbeatLink:
    """See `HeartbeatLink`."""

    def __init__(self, url: str, shard: Shard, worker: str) -> None:
        self._url = url
        self._shard = shard
        self._worker = worker
        self._control = shard.keys.control(worker)
        self._redis: redis.Redis | None = None

    def _client(self, reply_timeout: float) -> redis.Redis:
        if self._redis is None:
            settings: dict[str, Any] = {
                "socket_connect_timeout": CONNECT_TIMEOUT,
                "socket_timeout": reply_timeout,
                "socket_keepalive": True,
                "retry": Retry(NoBackoff(), 0),
                "single_connection_client": True,
            }
            if self._url.startswith("redis+sentinel://"):
                place = SentinelURL.parse(self._url)
                self._redis = Sentinel(place.addresses).master_for(place.service, **place.login(), **settings)
            elif self._url.startswith("redis+cluster://"):
                self._redis = self._shard.sync_node(settings)
            else:
                self._redis = redis.Redis.from_url(self._url, **settings)
        return self._redis

    def _call(self, *args: Any) -> Any:
        try:
            return self._client(BEAT_TIMEOUT).execute_command(*args)
        except redis.exceptions.NoScriptError:
            raise
        except (redis.RedisError, OSError) as error:
            if isinstance(error, UNREACHABLE) or "MOVED" in str(error):
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
        except redis.exceptions.NoScriptError:
            reply = self._call("EVAL", script.source, 1, self._shard.tag, *args)
        now, cancelled, pairs, expired, command = reply
        return HeartbeatReply(
            now_ms=now,
            cancelled=[job.decode() for job in cancelled],
            held=None if pairs is None else [(pairs[at].decode(), int(pairs[at + 1])) for at in range(0, len(pairs), 2)],
            expired=bool(expired),
            command=command.decode(),
        )

    def close(self) -> None:
        """See `HeartbeatLink.close`."""
        client, self._redis = self._redis, None
        if client is not None:
            client.close()
