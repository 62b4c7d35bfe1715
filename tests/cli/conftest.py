"""The command line, in this process or in one of its own, and an application to use it on."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Protocol

import pytest

from asyncjobs.cli import main
from tests.waiting import eventually_sync

APPS = Path(__file__).parent / "apps"
APP = "cli_shop:registry"
TIMEOUT = 60
COMMAND = [sys.executable, "-m", "asyncjobs"]


def environment(**changes: str) -> dict[str, str]:
    """The environment of a command: nothing of the terminal or server of whoever runs the tests."""
    ours = ("ASYNCJOBS_", "FORCE_COLOR", "COLUMNS", "NO_COLOR", "PYTHONUNBUFFERED")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    kept |= {name: value for name, value in os.environ.items() if name == "ASYNCJOBS_TEST_RUN"}
    return kept | {"PYTHONDONTWRITEBYTECODE": "1", "TERM": "xterm"} | changes


@dataclass(frozen=True)
class Told:
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """The one document that it printed."""
        return json.loads(self.out)

    @property
    def lines(self) -> list[str]:
        return self.out.splitlines()


class Asyncjobs(Protocol):
    def __call__(self, *args: object, code: int = 0) -> Told: ...


@pytest.fixture
def asyncjobs(
    redis_url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Asyncjobs:
    """Run a command in this process against the shared server: `asyncjobs("list", "failed", code=0)`."""
    monkeypatch.chdir(APPS)
    for name in ("FORCE_COLOR", "COLUMNS", "NO_COLOR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("ASYNCJOBS_REDIS", redis_url)
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.setattr("sys.stdin", open(os.devnull))  # noqa: PTH123, SIM115 - closed with the process

    def run(*args: object, code: int = 0) -> Told:
        capsys.readouterr()
        ended = main([str(arg) for arg in args])
        captured = capsys.readouterr()
        told = Told(ended, captured.out, captured.err)
        assert told.code == code, told
        return told

    return run


def run_process(*args: object, url: str | None = None, cwd: Path = APPS, **changes: str) -> Told:
    """Run a command in a process of its own."""
    if url is not None:
        changes["ASYNCJOBS_REDIS"] = url
    done = subprocess.run(
        [*COMMAND, *map(str, args)],
        cwd=cwd,
        env=environment(**changes),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=TIMEOUT,
        check=False,
    )
    return Told(done.returncode, done.stdout, done.stderr)


class Running:
    """A command that goes on in a process of its own; what it writes can be read meanwhile."""

    def __init__(self, directory: Path, args: tuple[object, ...], cwd: Path, changes: dict[str, str]) -> None:
        self._files: list[IO[bytes]] = []
        self._paths = (directory / "out", directory / "err")
        with self._paths[0].open("wb") as out, self._paths[1].open("wb") as err:
            self.process = subprocess.Popen(
                [*COMMAND, *map(str, args)],
                cwd=cwd,
                env=environment(**changes),
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
            )

    @property
    def out(self) -> str:
        return self._paths[0].read_text()

    @property
    def err(self) -> str:
        return self._paths[1].read_text()

    def until(self, pattern: str, times: int = 1) -> re.Match[str]:
        """Wait until it has written this, on either stream."""

        def found() -> re.Match[str] | None:
            matches = list(re.finditer(pattern, self.out + self.err))
            if len(matches) < times:
                assert self.process.poll() is None, f"it ended with {self.process.returncode}: {self.err}"
                return None
            return matches[times - 1]

        return eventually_sync(found, TIMEOUT, because=f"it writes {pattern!r}: {self.err}", ignoring=())  # type: ignore[return-value]

    def until_serving(self) -> str:
        """Wait until a worker takes jobs; its id."""
        return self.until(r"worker (\S+) serves ")[1]

    def signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def ended(self) -> Told:
        """Wait for its end."""
        return Told(self.process.wait(TIMEOUT), self.out, self.err)

    def stop(self) -> Told:
        """SIGTERM, and wait for its end."""
        self.signal(signal.SIGTERM)
        return self.ended()


class Start(Protocol):
    def __call__(
        self, *args: object, url: str | None = None, cwd: Path = APPS, **changes: str
    ) -> Running: ...


@pytest.fixture
def start(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Start]:
    """Start a command in a process of its own: `start("worker", APP, url=redis_url)`."""
    with contextlib.ExitStack() as stack:

        def begin(*args: object, url: str | None = None, cwd: Path = APPS, **changes: str) -> Running:
            if url is not None:
                changes["ASYNCJOBS_REDIS"] = url
            running = Running(tmp_path_factory.mktemp("command"), args, cwd, changes)
            stack.callback(_end, running.process)
            return running

        yield begin


def _end(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@pytest.fixture
def worker(start: Start, redis_url: str) -> Running:
    """A worker in a process of its own that serves the application's queues."""
    running = start("worker", APP, "--grace", 0, url=redis_url)
    running.until_serving()
    return running


def until_state(asyncjobs: Asyncjobs, job_id: str, *states: str) -> Any:
    """Wait until a job is in one of these states; its document."""

    def reached() -> Any:
        document = asyncjobs("show", job_id, "--json").json
        return document if document["state"] in states else None

    return eventually_sync(reached, TIMEOUT, because=f"job {job_id} is {' or '.join(states)}")


class Terminal:
    """A command on a terminal of its own, 80 characters wide, where somebody types."""

    def __init__(self, args: tuple[object, ...], url: str) -> None:
        import fcntl
        import pty
        import struct
        import termios

        self._ours, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
        self.process = subprocess.Popen(
            [*COMMAND, *map(str, args)],
            cwd=APPS,
            env=environment(ASYNCJOBS_REDIS=url),
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            start_new_session=True,
            # Ctrl-C is a signal only to those whose terminal it is.
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
        )
        os.close(theirs)
        self.seen = ""

    def until(self, text: str) -> None:
        """Read until this is on the screen."""
        deadline = time.monotonic() + TIMEOUT
        while text not in self.seen:
            assert time.monotonic() < deadline, self.seen
            assert self._read(), f"it ended without {text!r}: {self.seen}"

    def type(self, line: str) -> None:
        os.write(self._ours, f"{line}\n".encode())

    def ended(self) -> int:
        """Read to its end; the exit code."""
        while self._read():
            pass
        return self.process.wait(TIMEOUT)

    def _read(self) -> bool:
        try:
            data = os.read(self._ours, 65536)
        except OSError:
            # What a terminal gives once nobody holds its other end.
            return False
        self.seen += data.decode(errors="replace")
        return bool(data)

    def close(self) -> None:
        _end(self.process)
        os.close(self._ours)


class OpenTerminal(Protocol):
    def __call__(self, *args: object) -> Terminal: ...


@pytest.fixture
def terminal(redis_url: str) -> Iterator[OpenTerminal]:
    """Run a command on a terminal: `terminal("purge", "mail")`."""
    with contextlib.ExitStack() as stack:

        def begin(*args: object) -> Terminal:
            opened = Terminal(args, redis_url)
            stack.callback(opened.close)
            return opened

        yield begin
