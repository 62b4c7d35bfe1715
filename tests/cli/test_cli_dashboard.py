"""`asyncjobs dashboard`, and `asyncjobs worker --dashboard`: they serve, and end in order."""

from __future__ import annotations

import signal
import socket
import sys
import urllib.error
import urllib.request

import pytest

from tests.cli.conftest import APP, Asyncjobs, Start
from tests.waiting import eventually_sync


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _page(port: int, path: str = "/") -> str:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=5) as answer:
        return str(answer.read().decode())


@pytest.mark.parametrize("target", [(), (APP,)], ids=["without", "with the registry"])
def test_it_serves_until_it_is_stopped(start: Start, redis_url: str, target: tuple[str, ...]) -> None:
    port = _free_port()
    served = start("dashboard", *target, "--port", str(port), "--title", "Shop", "--read-only", url=redis_url)
    page = eventually_sync(lambda: _page(port), 20, ignoring=(OSError,))
    assert "<title>Overview · Shop</title>" in page
    assert "read-only" in page
    served.process.send_signal(signal.SIGTERM)
    assert served.process.wait(20) == 0


@pytest.mark.parametrize("processes", ["1", "2"])
def test_beside_a_worker(start: Start, redis_url: str, processes: str) -> None:
    port = _free_port()
    worker = start("worker", APP, "--dashboard", str(port), "--processes", processes, url=redis_url)

    def seen() -> bool:
        return _page(port, "/api/overview").count('"host"') == int(processes)

    eventually_sync(seen, 30, ignoring=(OSError,))
    worker.process.send_signal(signal.SIGTERM)
    assert worker.process.wait(40) == 0
    with pytest.raises(urllib.error.URLError):
        _page(port)


@pytest.mark.parametrize("address", ["x", "localhost:", "1:2:3", "99999", "a b:80", ""])
def test_an_address_that_is_none(asyncjobs: Asyncjobs, address: str) -> None:
    told = asyncjobs("worker", APP, "--dashboard", address, code=2)
    assert "give a port, or host:port" in told.err


def test_a_port_that_is_taken(asyncjobs: Asyncjobs) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        for command in (("dashboard", "--port", port), ("worker", APP, "--dashboard", port)):
            told = asyncjobs(*command, code=1)
            assert f"can't listen at 127.0.0.1:{port}" in told.err


def test_the_extra_is_not_installed(asyncjobs: Asyncjobs, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [known for known in sys.modules if known.partition(".")[0] == "asyncjobs_dashboard"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "aiohttp", None)
    for command in (("dashboard",), ("worker", APP, "--dashboard", "8080")):
        told = asyncjobs(*command, code=2)
        assert "pip install 'asyncjobs-redis[dashboard]'" in told.err
