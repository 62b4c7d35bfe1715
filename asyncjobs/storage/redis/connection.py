"""Connections to Redis: where they come from, and one that asks one question at a time.

The hot path has a connection of its own per shard (`Link`), without a pool and without redis-py's
retries: every script may be sent twice, so the callers here decide when to try again, and for how long.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from typing import Any, cast

import hiredis
from redis import exceptions as redis_errors
from redis.asyncio import Connection, ConnectionPool
from redis.asyncio.sentinel import Sentinel
from redis.backoff import NoBackoff
from redis.asyncio.retry import Retry

from asyncjobs.errors import OptionError, StorageError, StorageFull, StorageUnavailable, WorkerGone

logger = logging.getLogger("asyncjobs.redis")

EncodableArg = str | bytes | int | float

CONNECT_TIMEOUT = 5.0
"""Seconds to connect."""
REPLY_TIMEOUT = 10.0
"""Seconds without a reply after which a connection counts as dead."""
RETRY_DELAYS = (0.0, 0.05, 0.1, 0.2, 0.4, 0.8, 1.0)
"""Seconds before each further try; the last one goes on for as long as the caller's patience."""

UNREACHABLE = (
    redis_errors.ConnectionError,
    redis_errors.TimeoutError,
    redis_errors.BusyLoadingError,
    redis_errors.ReadOnlyError,
    redis_errors.ClusterDownError,
    redis_errors.MasterDownError,
    redis_errors.TryAgainError,
    OSError,
    EOFError,
)
"""What may pass by itself: the same request is sent again."""


def translate(error: Exception) -> Exception:
    """The error of ours that a reply of Redis stands for."""
    text = str(error)
    if isinstance(error, UNREACHABLE):
        return StorageUnavailable(f"Redis can't be reached: {text}")
    word = text.split(" ", 1)[0]
    if isinstance(error, redis_errors.OutOfMemoryError) or word in ("OOM", "-OOM"):
        return StorageFull(
            "Redis has reached its maxmemory and refuses new jobs; raise maxmemory, or shorten the retention of"
            " finished jobs. Nothing was stored."
        )
    if word == "GONE":
        return WorkerGone("this worker's entry is gone: its lease ran out and its jobs were taken back")
    if word == "STALE":
        return StorageError(text)
    if isinstance(error, (redis_errors.AuthenticationError, redis_errors.NoPermissionError)):
        return StorageError(f"Redis refuses access: {text}; check the user and password of the URL")
    return StorageError(f"Redis refused a request: {text}")


def no_retries() -> dict[str, Any]:
    """Settings that every connection of ours shares."""
    return {
        "socket_connect_timeout": CONNECT_TIMEOUT,
        "socket_timeout": None,
        "socket_keepalive": True,
        "health_check_interval": 0,
        "retry": Retry(NoBackoff(), 0),
        "decode_responses": False,
    }


class Link:
    """A connection that sends one command and reads its reply, and connects anew when it was lost.

    Not safe for use by two tasks at once.
    """

    def __init__(self, pool: ConnectionPool, reply_timeout: float = REPLY_TIMEOUT) -> None:
        self._pool = pool
        self._connection: Connection | None = None
        self._reply_timeout = reply_timeout

    async def call(self, *args: EncodableArg, wait: float = 0.0) -> Any:
        """Send a command and return its reply. `wait`: seconds that the command itself may block.

        Raises redis-py's errors; after one that isn't Redis' own answer, or a cancellation, the next call connects anew.
        """
        connection = self._connection
        try:
            if connection is None:
                connection = cast(Connection, self._pool.make_connection())
                self._connection = connection
            if not connection.is_connected:
                async with asyncio.timeout(CONNECT_TIMEOUT):
                    await connection.connect()
            command = cast(bytes, hiredis.pack_command(args))  # pyright: ignore[reportArgumentType]
            watchdog = asyncio.get_running_loop().call_later(self._reply_timeout + wait, _abort, connection)
            try:
                await connection.send_packed_command(command, check_health=False)
                reply: Any = await connection.read_response(disable_decoding=True)
            finally:
                watchdog.cancel()
        except redis_errors.ResponseError as error:
            if isinstance(error, UNREACHABLE):
                await self.drop()
            raise
        except TimeoutError as error:
            await self.drop()
            raise redis_errors.TimeoutError("no connection within the time allowed") from error
        except BaseException:
            await self.drop()
            raise
        return reply

    async def drop(self) -> None:
        """Close the connection; the next call makes a new one."""
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.disconnect(nowait=True)


def _abort(connection: Connection) -> None:
    """Cut a connection that gave no reply in time; the reader gets an error at once."""
    logger.warning("no reply from Redis for %.0f s; the connection is cut", REPLY_TIMEOUT)
    writer = connection._writer  # pyright: ignore[reportPrivateUsage]  # noqa: SLF001
    if writer is not None:
        writer.transport.abort()


def make_pool(url: str) -> ConnectionPool:
    """A pool of connections to one server, from a `redis://`, `rediss://`, `unix://` or `redis+sentinel://` URL.

    `redis+sentinel://[user:password@]host:port[,host:port…]/service[/db]` asks the sentinels for the master.
    """
    try:
        if url.startswith("redis+sentinel://"):
            return _sentinel_pool(url)
        return ConnectionPool.from_url(url, max_connections=10_000, **no_retries())
    except ValueError as error:
        raise OptionError(
            f"{without_password(url)!r} is no Redis URL ({error}); use redis://host:6379/0, rediss://… for TLS,"
            " unix:///path, or redis+sentinel://host:26379/service"
        ) from None


@dataclass(frozen=True)
class SentinelURL:
    """What a `redis+sentinel://` URL says."""

    addresses: list[tuple[str, int]]
    service: str
    database: int
    username: str | None
    password: str | None

    @classmethod
    def parse(cls, url: str) -> SentinelURL:
        """Take a URL apart; raises ValueError."""
        access, _, rest = url.removeprefix("redis+sentinel://").rpartition("@")
        hosts, _, path = rest.partition("/")
        service, _, database = path.partition("/")
        if not service:
            raise ValueError("the service's name is missing")
        user, _, password = access.partition(":")
        pairs = (host.partition(":") for host in hosts.split(","))
        addresses = [(host or "localhost", int(port or 26379)) for host, _, port in pairs]
        return cls(addresses, service, int(database or 0), user or None, password or None)

    def login(self) -> dict[str, Any]:
        """Settings of a connection to the master."""
        return {"db": self.database, "username": self.username, "password": self.password}


def _sentinel_pool(url: str) -> ConnectionPool:
    place = SentinelURL.parse(url)
    sentinel = Sentinel(place.addresses, sentinel_kwargs=no_retries())
    return sentinel.master_for(place.service, **place.login(), **no_retries()).connection_pool


def without_password(url: str) -> str:
    """A URL fit for logs and pages: its user and password are hidden."""
    scheme, separator, rest = url.partition("://")
    access, at, host = rest.rpartition("@")
    return f"{scheme}{separator}***@{host}" if at and access else url


class Pools:
    """Where connections come from: one server, or the node of a cluster that has a shard's slot."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._pool = make_pool(url)

    async def pool_for(self, tag: str) -> ConnectionPool:
        """The pool whose server holds a shard."""
        return self._pool

    async def moved(self, error: Exception) -> bool:
        """Whether an error says that a shard has moved to another node, so that it is worth trying again."""
        return False

    async def unreachable(self) -> None:
        """A connection failed: what is known of the servers may be out of date."""

    async def close(self) -> None:
        """Let go of all."""
        await self._pool.disconnect()
