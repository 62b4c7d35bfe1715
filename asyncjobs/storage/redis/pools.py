"""Where connections come from: one server, the master that sentinels name, or the nodes of a cluster."""

from __future__ import annotations

import asyncio
import logging
import re
from dataclasses import dataclass
from typing import Any, cast

import redis
from redis import exceptions as redis_errors
from redis.asyncio import ConnectionPool, RedisCluster, SSLConnection
from redis.asyncio.connection import parse_url
from redis.asyncio.sentinel import Sentinel
from redis.backoff import NoBackoff
from redis.retry import Retry
from redis.sentinel import Sentinel as SyncSentinel

from asyncjobs.errors import OptionError
from asyncjobs.storage.redis.connection import CONNECT_TIMEOUT, no_retries, without_password

logger = logging.getLogger("asyncjobs.redis")

CLUSTER_SCHEMES = {"redis+cluster": "redis", "rediss+cluster": "rediss"}


def make_pools(url: str) -> Pools:
    """The pools of a URL: `redis://`, `rediss://`, `unix://`, `redis+sentinel://` or `redis+cluster://`.

    `redis+sentinel://[user:password@]host:port[,host:port…]/service[/db]` asks the sentinels for the master.
    `redis+cluster://[user:password@]host:port` (`rediss+cluster://` with TLS) asks that node for the others.
    """
    scheme = url.partition("://")[0]
    try:
        if scheme in CLUSTER_SCHEMES:
            return ClusterPools(url)
        if scheme == "redis+sentinel":
            return SentinelPools(url)
        settings = _as_the_socket_can(url, no_retries())
        return Pools(url, cast(Any, ConnectionPool).from_url(url, max_connections=10_000, **settings))
    except ValueError as error:
        # The parser quotes what it stumbled over, which may be a part of the password.
        quotes = re.search("'.*'", str(error))
        why = "" if quotes and "@" in url else f" ({error})"
        raise OptionError(
            f"{without_password(url)!r} is no Redis URL{why}; use redis://host:6379/0, rediss://… for"
            " TLS, unix:///path, redis+sentinel://host:26379/service or redis+cluster://host:6379"
        ) from None


def _as_the_socket_can(url: str, settings: dict[str, Any]) -> dict[str, Any]:
    """The settings that the URL's kind of socket takes: one in the file system can't be kept alive."""
    if url.startswith("unix://"):
        settings.pop("socket_keepalive")
    return settings


def _sync_settings(reply_timeout: float) -> dict[str, Any]:
    return {
        "socket_connect_timeout": CONNECT_TIMEOUT,
        "socket_timeout": reply_timeout,
        "socket_keepalive": True,
        "retry": Retry(NoBackoff(), 0),
    }


class Pools:
    """One server."""

    def __init__(self, url: str, pool: ConnectionPool) -> None:
        self.url = url
        self._pool = pool

    async def pool_for(self, tag: str) -> ConnectionPool:
        """The pool whose server holds a shard."""
        return self._pool

    def sync_client(self, tag: str, reply_timeout: float) -> redis.Redis:
        """A client for a thread, with one connection to the server that holds a shard."""
        client: redis.Redis = cast(Any, redis.Redis).from_url(
            self.url,
            single_connection_client=True,
            **_as_the_socket_can(self.url, _sync_settings(reply_timeout)),
        )
        return client

    async def moved(self, error: Exception) -> bool:
        """Whether an error says that a shard has moved to another node, so that it is worth trying again."""
        return False

    async def unreachable(self) -> None:
        """A connection failed: what is known of the servers may be out of date."""

    async def close(self) -> None:
        """Let go of all."""
        await self._pool.disconnect()


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


class SentinelPools(Pools):
    """The master that the sentinels name; each new connection asks them."""

    def __init__(self, url: str) -> None:
        self._place = SentinelURL.parse(url)
        sentinel = cast(Any, Sentinel)(self._place.addresses, sentinel_kwargs=no_retries())
        master = sentinel.master_for(self._place.service, **self._place.login(), **no_retries())
        super().__init__(url, master.connection_pool)

    def sync_client(self, tag: str, reply_timeout: float) -> redis.Redis:
        """See `Pools.sync_client`."""
        settings = _sync_settings(reply_timeout)
        asked = {"socket_timeout": CONNECT_TIMEOUT}
        sentinel = cast(Any, SyncSentinel)(self._place.addresses, sentinel_kwargs=asked)
        client: redis.Redis = sentinel.master_for(self._place.service, **self._place.login(), **settings)
        return client


class ClusterPools(Pools):
    """The nodes of a Redis Cluster: each shard's keys share a slot, so one node has them all."""

    def __init__(self, url: str) -> None:
        scheme, _, rest = url.partition("://")
        self._start = f"{CLUSTER_SCHEMES[scheme]}://{rest}"
        settings: dict[str, Any] = dict(parse_url(self._start))
        if settings.pop("db", 0):
            raise ValueError("a cluster has database 0 only")
        self._host, self._port = settings.pop("host", "localhost"), int(settings.pop("port", 6379))
        self._tls = settings.pop("connection_class", None) is SSLConnection
        self._login: dict[str, Any] = settings
        self._cluster: RedisCluster | None = None
        self._nodes: dict[tuple[str, int], ConnectionPool] = {}
        self._lock = asyncio.Lock()
        self._slots: dict[str, tuple[str, int]] = {}
        super().__init__(url, self._node_pool(self._host, self._port))

    def _node_pool(self, host: str, port: int) -> ConnectionPool:
        settings: dict[str, Any] = {
            **self._login,
            **no_retries(),
            "host": host,
            "port": port,
            "max_connections": 10_000,
        }
        if self._tls:
            settings["connection_class"] = SSLConnection
        return ConnectionPool(**settings)

    async def pool_for(self, tag: str) -> ConnectionPool:
        """See `Pools.pool_for`."""
        async with self._lock:
            if self._cluster is None:
                self._cluster = await self._learn()
            node = self._cluster.get_node_from_key(f"{tag}:")
            if node is None:
                self._cluster = None
                raise redis_errors.ClusterDownError(f"no node of the cluster has the slot of {tag}")
            address = (str(node.host), int(node.port))
            self._slots[tag] = address
            if address not in self._nodes:
                self._nodes[address] = self._node_pool(*address)
            return self._nodes[address]

    async def _learn(self) -> RedisCluster:
        """Ask the nodes who has what."""
        known: list[tuple[str, int]] = [*self._nodes, (self._host, self._port)]
        error: Exception = redis_errors.ClusterDownError("no node of the cluster answers")
        for host, port in known:
            cluster = RedisCluster(
                host=host, port=port, ssl=self._tls, **self._login, socket_connect_timeout=1
            )
            try:
                await cluster.initialize()
                # Only what it learnt is used; connections are this package's own.
                await cluster.aclose()
                return cluster
            except (redis_errors.RedisError, redis_errors.RedisClusterException, OSError) as failure:
                error = failure
                await cluster.aclose()
        raise redis_errors.ConnectionError(f"the cluster can't be reached: {error}")

    def sync_client(self, tag: str, reply_timeout: float) -> redis.Redis:
        """See `Pools.sync_client`."""
        host, port = self._slots.get(tag, (self._host, self._port))
        return redis.Redis(
            host=host,
            port=port,
            ssl=self._tls,
            single_connection_client=True,
            **self._login,
            **_sync_settings(reply_timeout),
        )

    async def moved(self, error: Exception) -> bool:
        """See `Pools.moved`.

        While a slot is on its way (ASK) there is nothing but to wait: a script needs all its keys.
        """
        if not isinstance(error, redis_errors.AskError):
            return False
        async with self._lock:
            self._cluster = None
        return True

    async def unreachable(self) -> None:
        """See `Pools.unreachable`."""
        async with self._lock:
            self._cluster = None

    async def close(self) -> None:
        """See `Pools.close`."""
        for pool in self._nodes.values():
            await pool.disconnect()
        await super().close()
