"""Connections to Redis: where they come from, and one that asks one question at a time.

The hot path has a connection of its own per shard (`Link`), without a pool and without redis-py's
retries: every script may be sent twice, so the callers here decide when to try again, and for how long.
"""

from __future__ import annotations

import asyncio
import logging
import math
import re
from collections.abc import Callable
from typing import Any, cast

import hiredis
from redis import exceptions as redis_errors
from redis._parsers import BaseParser
from redis.asyncio import Connection, ConnectionPool
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from asyncjobs.errors import StorageError, StorageFull, StorageUnavailable, WorkerGone

logger = logging.getLogger("asyncjobs.redis")

EncodableArg = str | bytes | int | float
# Their own hints say less than they do.
_parse_error: Callable[[str], Exception] = cast(Any, BaseParser).parse_error
_pack_command: Callable[[tuple[EncodableArg, ...]], bytes] = cast(Any, hiredis).pack_command

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


_REFUSED = (redis_errors.AuthenticationError, redis_errors.AuthorizationError, redis_errors.NoPermissionError)
"""Answers that no further try will change, though redis-py counts some among the connection's errors."""


_PASSING = ("NOREPLICAS", "MISCONF", "BUSY", "LOADING", "MASTERDOWN", "CLUSTERDOWN", "TRYAGAIN", "READONLY")
"""First words of answers that pass: a failover, a disk that is full for now, somebody's long script."""


def is_passing(error: BaseException) -> bool:
    """Whether an error may pass by itself, so that the same request is worth sending again."""
    if isinstance(error, redis_errors.ResponseError) and str(error).partition(" ")[0] in _PASSING:
        return True
    return isinstance(error, UNREACHABLE) and not isinstance(error, _REFUSED)


def translate(error: Exception) -> Exception:
    """The error of ours that a reply of Redis stands for."""
    # After this redis-py names its own objects.
    text = str(error).partition(" : <")[0]
    if is_passing(error):
        return StorageUnavailable(f"Redis can't be reached: {text}")
    word = text.split(" ", 1)[0]
    # Up to Redis 6.2 what went wrong in a script stands at the end of the message.
    full = word in ("OOM", "-OOM") or ": -OOM " in text
    if full or isinstance(error, redis_errors.OutOfMemoryError):
        return StorageFull(
            "Redis has reached its maxmemory and refuses new jobs; raise maxmemory, or shorten the retention"
            " of finished jobs. Nothing was stored."
        )
    if word == "GONE":
        return WorkerGone("this worker's entry is gone: its lease ran out and its jobs were taken back")
    if word == "STALE":
        return StorageError(text)
    if isinstance(error, _REFUSED):
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
        "protocol": 2,
    }


OnReply = Callable[[Any], None]
"""Is called once, with a reply or with an exception (never raised)."""


class _Replies(asyncio.Protocol):
    """Reads the replies of a connection that redis-py has opened; one is awaited at a time."""

    def __init__(self, transport: asyncio.WriteTransport, reply_timeout: float) -> None:
        self.transport = transport
        self.lost = False
        self._loop = asyncio.get_running_loop()
        self._reader = hiredis.Reader(replyError=_parse_error, notEnoughData=_INCOMPLETE)
        self._on_reply: OnReply | None = None
        self._reply_timeout = reply_timeout
        self._deadline = math.inf
        self._watchdog = self._loop.call_later(1.0, self._watch)

    def ask(self, command: bytes, on_reply: OnReply, wait: float = 0.0) -> None:
        """Send a packed command. `wait`: seconds that it may block in Redis."""
        self._on_reply = on_reply
        self._deadline = self._loop.time() + self._reply_timeout + wait
        self.transport.write(command)

    def data_received(self, data: bytes) -> None:
        """Called by the transport."""
        try:
            self._reader.feed(data)
            reply = self._reader.gets()
        except Exception as error:
            self._answer(redis_errors.ConnectionError(f"an unreadable reply: {error}"))
            self.transport.abort()
            return
        if reply is not _INCOMPLETE:
            self._answer(reply)

    def connection_lost(self, exc: Exception | None) -> None:
        """Called by the transport."""
        self.lost = True
        self._watchdog.cancel()
        self._answer(
            redis_errors.ConnectionError(f"the connection to Redis was lost{f': {exc}' if exc else ''}")
        )

    def forget(self) -> None:
        """Nobody waits for the reply any more."""
        self._on_reply = None

    def _answer(self, reply: Any) -> None:
        on_reply, self._on_reply = self._on_reply, None
        self._deadline = math.inf
        if on_reply is not None:
            on_reply(reply)

    def _watch(self) -> None:
        """A timer per connection, not per command: cut a connection that gives no reply."""
        if self._loop.time() > self._deadline:
            logger.warning("no reply from Redis in time; the connection is cut")
            self.transport.abort()
            self._answer(redis_errors.TimeoutError("no reply from Redis in time"))
            return
        self._watchdog = self._loop.call_later(1.0, self._watch)


_INCOMPLETE = object()


class Link:
    """A connection that sends one command and reads its reply, and connects anew when it was lost.

    redis-py opens it (address, TLS, login, database); commands and replies then bypass its per-command work,
    which costs more than Redis' own. Not safe for use by two tasks at once.
    """

    def __init__(self, pool: ConnectionPool, reply_timeout: float = REPLY_TIMEOUT) -> None:
        self.pool = pool
        self._connection: Connection | None = None
        self._replies: _Replies | None = None
        self._reply_timeout = reply_timeout

    @property
    def ready(self) -> bool:
        """True if `ask` can be used: it is connected."""
        return self._replies is not None and not self._replies.lost

    def ask(self, args: tuple[EncodableArg, ...], on_reply: OnReply) -> None:
        """Send a command at once, and have `on_reply` called with its reply or error. Only when `ready`."""
        assert self._replies is not None
        self._replies.ask(_pack_command(args), on_reply)

    async def call(self, *args: EncodableArg, wait: float = 0.0) -> Any:
        """Send a command and return its reply. `wait`: seconds that the command itself may block.

        Raises redis-py's errors; after one that isn't Redis' own answer, or a cancellation, the next call
        connects anew.
        """
        replies = self._replies
        if replies is None or replies.lost:
            replies = await self._connect()
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()

        def on_reply(reply: Any) -> None:
            if not future.done():
                future.set_result(reply)

        replies.ask(_pack_command(args), on_reply, wait)
        try:
            reply = await future
        except BaseException:
            replies.forget()
            await self.drop()
            raise
        if isinstance(reply, Exception):
            if is_passing(reply):
                await self.drop()
            raise reply
        return reply

    async def _connect(self) -> _Replies:
        await self.drop()
        connection: Connection = cast(Any, self.pool).make_connection()
        self._connection = connection
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT):
                await connection.connect()
        except TimeoutError as error:
            await self.drop()
            raise redis_errors.TimeoutError("no connection to Redis within the time allowed") from error
        except BaseException:
            await self.drop()
            raise
        writer = connection._writer  # pyright: ignore[reportPrivateUsage]
        assert writer is not None
        replies = _Replies(writer.transport, self._reply_timeout)
        writer.transport.set_protocol(replies)
        self._replies = replies
        return replies

    async def drop(self) -> None:
        """Close the connection; the next call makes a new one."""
        replies, self._replies = self._replies, None
        connection, self._connection = self._connection, None
        if replies is not None:
            replies.transport.abort()
        if connection is not None:
            await connection.disconnect(nowait=True)


def without_password(url: str) -> str:
    """A URL fit for logs and pages: its user and password are hidden."""
    scheme, separator, rest = url.partition("://") if "://" in url else ("", "", url)
    access, at, host = rest.rpartition("@")
    shown = f"***@{host}" if at and access else rest
    return scheme + separator + _IN_QUERY.sub(r"\1***", shown)


_IN_QUERY = re.compile(r"([?&](?:username|password)=)[^&#]*")
