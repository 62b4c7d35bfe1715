"""What every test may ask for: servers, a proxy in front of one, and async tests without a marker.

`--server valkey|redis70|redis62|all`, or the environment's `ASYNCJOBS_TEST_SERVER`, says which server the
tests run on (Valkey by default; several with commas).
"""

from __future__ import annotations

import contextlib
import os
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Protocol, TypeVar

import psutil
import pytest

from tests.proxy import ThreadedProxy
from tests.servers import FLAVOURS, Cluster, Flavour, Server, ServerMissing
from tests.waiting import eventually_sync

RUN_VARIABLE = "ASYNCJOBS_TEST_RUN"
RUN = uuid.uuid4().hex
LEFTOVER_SECONDS = 15.0
# Python starts these once for the whole process.
KEPT_BY_PYTHON = ("multiprocessing.resource_tracker", "multiprocessing.forkserver")


T = TypeVar("T")


class ServerFactory(Protocol):
    def __call__(
        self,
        flavour: Flavour | None = None,
        *,
        data_dir: Path | None = None,
        port: int | None = None,
        **config: str,
    ) -> Server: ...


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--server",
        default=os.environ.get("ASYNCJOBS_TEST_SERVER", "valkey"),
        help=f"servers to test on: {', '.join(FLAVOURS)}, several with commas, or all (default: valkey)",
    )


def pytest_configure(config: pytest.Config) -> None:
    _chosen(config)
    config.option.anyio_mode = "auto"
    # Inherited by every process that a test starts, so that orphans are found as well.
    os.environ[RUN_VARIABLE] = RUN


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "flavour" in metafunc.fixturenames:
        metafunc.parametrize("flavour", _chosen(metafunc.config), scope="session")


def _chosen(config: pytest.Config) -> list[Flavour]:
    names = str(config.getoption("--server")).split(",")
    chosen: list[Flavour] = [flavour for flavour in FLAVOURS if flavour in names or names == ["all"]]
    if names != ["all"] and len(chosen) != len(names):
        raise pytest.UsageError(f"--server {','.join(names)}: must be of {', '.join(FLAVOURS)}, or all")
    return chosen


class SharedServers:
    """Servers that live for the whole run (of one xdist worker), started when first asked for."""

    def __init__(self) -> None:
        self._servers: dict[Flavour, Server] = {}
        self._clusters: dict[Flavour, Cluster] = {}
        self.kept_sessions: set[int] = set()
        """Process sessions of other things that live longer than a test."""

    def server(self, flavour: Flavour) -> Server:
        if flavour not in self._servers:
            self._servers[flavour] = _or_skip(Server(flavour).start)
        return self._servers[flavour]

    def cluster(self, flavour: Flavour) -> Cluster:
        if flavour not in self._clusters:
            self._clusters[flavour] = _or_skip(Cluster(flavour).start)
        return self._clusters[flavour]

    def sessions(self) -> set[int]:
        """The process sessions of the servers, each of which leads its own, and of what else is to stay."""
        nodes = [node for cluster in self._clusters.values() for node in cluster.nodes]
        running = {server.pid for server in [*self._servers.values(), *nodes] if server.running}
        return running | self.kept_sessions

    def close(self) -> None:
        for server in self._servers.values():
            server.close()
        for cluster in self._clusters.values():
            cluster.close()


def _or_skip(start: Callable[[], T]) -> T:
    try:
        return start()
    except ServerMissing as reason:
        pytest.skip(str(reason))


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="session")
def shared_servers() -> Iterator[SharedServers]:
    shared = SharedServers()
    yield shared
    shared.close()


@pytest.fixture
def server(shared_servers: SharedServers, flavour: Flavour) -> Server:
    """A running server that tests share: empty at the start of each test, not to be killed or configured."""
    server = shared_servers.server(flavour)
    server.flush()
    return server


@pytest.fixture
def redis_url(server: Server) -> str:
    """The address of `server`."""
    return server.url


@pytest.fixture
def cluster(shared_servers: SharedServers, flavour: Flavour) -> Cluster:
    """Three masters that tests share: empty at the start of each test, not to be killed or configured."""
    cluster = shared_servers.cluster(flavour)
    cluster.flush()
    return cluster


@pytest.fixture
def own_server(flavour: Flavour) -> Iterator[ServerFactory]:
    """Start servers that this test alone has, to kill, stall, configure: `own_server(appendonly="yes")`."""
    with contextlib.ExitStack() as started:
        chosen = flavour

        def start(flavour: Flavour | None = None, **options: Any) -> Server:
            server = Server(flavour or chosen, **options)
            started.callback(server.close)
            return _or_skip(server.start)

        yield start


@pytest.fixture
def proxy(server: Server) -> Iterator[ThreadedProxy]:
    """A proxy in front of `server`, in a thread of its own."""
    with ThreadedProxy(server.port) as proxy:
        yield proxy


@pytest.fixture(autouse=True)
def no_leftover_processes(shared_servers: SharedServers) -> Iterator[None]:
    """Fail a test that leaves a process behind that it started, directly or through others, and end it."""
    before = set(psutil.pids())
    yield

    def leftovers() -> list[psutil.Process]:
        return [p for pid in set(psutil.pids()) - before if (p := _ours(pid, shared_servers.sessions()))]

    try:
        eventually_sync(lambda: not leftovers(), LEFTOVER_SECONDS)
    except AssertionError:
        left = leftovers()
        told = [f"{process.pid} {' '.join(process.cmdline())[:200]}" for process in left]
        for process in left:
            process.kill()
        pytest.fail("the test left processes behind:\n" + "\n".join(told), pytrace=False)


def _ours(pid: int, kept_sessions: set[int]) -> psutil.Process | None:
    """The process, if it's alive, descends from this one or was an orphan's, and isn't meant to stay."""
    try:
        process = psutil.Process(pid)
        if process.status() == psutil.STATUS_ZOMBIE or os.getsid(pid) in kept_sessions:
            return None
        if any(name in argument for argument in process.cmdline() for name in KEPT_BY_PYTHON):
            return None
        if os.getpid() in (parent.pid for parent in process.parents()):
            return process
        return process if process.environ().get(RUN_VARIABLE) == RUN else None
    except (psutil.Error, ProcessLookupError):
        return None
