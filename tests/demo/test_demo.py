"""The whole demo, as a process of its own: on its own server and on another, without a terminal and on one,
to its end and interrupted."""

from __future__ import annotations

import contextlib
import os
import pty
import re
import select
import signal
import subprocess
import sys
import sysconfig
import termios
import threading
import time
import urllib.request
from collections.abc import Generator, Iterator
from pathlib import Path

import psutil
import pytest

from asyncjobs import Client
from asyncjobs.demo.course import PINGS
from asyncjobs.demo.jobs import Analysis, registry
from asyncjobs.demo.plan import Task
from asyncjobs.demo.run import NAMESPACE
from tests.waiting import eventually_sync

COMMAND = [sys.executable, "-m", "asyncjobs.demo"]
LONGEST = 180.0
"""Seconds after which a demo is taken for hung; the machine may be busy."""
SOON = 10.0

ASCII_ONLY = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}

LIBRARY = Path(sysconfig.get_path("stdlib"))
LEFT_OUT = {"site-packages", "dist-packages", "__pycache__"}
FILES = {
    str(path.relative_to(LIBRARY)): path.read_bytes()
    for path in LIBRARY.rglob("*.py")
    if path.is_file() and not LEFT_OUT & set(path.relative_to(LIBRARY).parts)
}
LINES = {path: len(source.splitlines()) for path, source in FILES.items()}
COUNT = f"{len(FILES):,}"
FAILURES = sum(Task.of(path).failures for path in FILES)

# It makes the pseudo-terminal that it was given its own, so that a Ctrl-C typed there becomes a SIGINT.
ON_ITS_TERMINAL = """
import fcntl, os, sys, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
os.execv(sys.argv[1], sys.argv[1:])
"""


@contextlib.contextmanager
def demo(*arguments: str, **environment: str) -> Generator[subprocess.Popen[str], None, None]:
    """A demo without a terminal, in a process group of its own."""
    process = subprocess.Popen(
        [*COMMAND, *arguments],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, **environment},
        start_new_session=True,
    )
    watchdog = threading.Timer(LONGEST, process.kill)
    watchdog.start()
    try:
        yield process
    finally:
        watchdog.cancel()
        process.kill()
        process.wait()
        assert process.stdout is not None
        process.stdout.close()


def read_until(process: subprocess.Popen[str], text: str) -> str:
    """Its output up to the line that has a text."""
    assert process.stdout is not None
    output = ""
    for line in process.stdout:
        output += line
        if text in line:
            return output
    raise AssertionError(f"the demo ended without {text!r}:\n{output}")


def whole_output(*arguments: str, **environment: str) -> str:
    """What a demo has printed that went well."""
    with demo(*arguments, **environment) as process:
        output = process.communicate()[0]
        assert process.returncode == 0, output
    return output


def check_report(output: str) -> None:
    """The report is of exactly the files there are."""
    assert f"{COUNT} in {LIBRARY}" in output
    assert f"{COUNT} files, {COUNT} results: every file exactly once" in output
    assert re.search(rf"{COUNT} jobs in [\d.]+ s: [\d,]+ jobs/s", output)
    assert f"{sum(LINES.values()):,} lines" in output
    assert f"{FAILURES} attempts failed" in output
    for path in sorted(LINES, key=lambda path: (-LINES[path], path))[:5]:
        assert re.search(rf"{re.escape(path[-31:])}[ |]+{LINES[path]:,} ", output), path
    for row in ("on idle workers", "all at once", "delayed"):
        assert re.search(rf"{row}.* [\d,]+([ |]+[\d.]+ m?s){{2}}", output), row


def test_without_a_terminal_it_prints_a_few_plain_lines() -> None:
    output = whole_output()
    check_report(output)
    assert not re.search(r"[\x00-\x09\x0b-\x1f]", output)
    assert len(output.splitlines()) < 60
    assert max(map(len, output.splitlines())) <= 80 or str(LIBRARY) in max(output.splitlines(), key=len)
    assert output.count("files after") == 4
    assert f"{COUNT} of {COUNT} files after" in output
    assert "kill -9" not in output.partition("Next")[0]


async def test_a_killed_worker_makes_no_difference_to_what_is_stored(redis_url: str) -> None:
    output = whole_output("--kill", "--redis", redis_url, **ASCII_ONLY)
    check_report(output)
    assert output.isascii()
    killed = re.search(r"kill -9 (\d+): a worker process, while it runs [1-9]", output)
    assert killed
    assert f"worker process {killed[1]} was killed by SIGKILL" in output
    recovery = re.search(r"the killed worker had (\d+) jobs?,", output)
    assert recovery
    async with Client(redis_url, registry=registry, namespace=NAMESPACE) as client:
        stats = await client.stats()
        assert {state: count for state, count in stats.counts.items() if count} == {
            "succeeded": len(FILES) + PINGS
        }
        assert stats.totals["recovered"] == int(recovery[1]) > 0
        assert stats.totals["retried"] == FAILURES
        jobs = [
            job for job in await client.jobs("succeeded", limit=len(FILES) + PINGS) if job.name == "analyse"
        ]
        assert sorted(job.arguments()[0][0] for job in jobs) == sorted(FILES)
        for job in jobs:
            analysis = await job.result()
            assert isinstance(analysis, Analysis)
            assert (analysis.path, analysis.size) == (job.arguments()[0][0], len(FILES[analysis.path]))
        assert await client.workers() == []
    async with Client(redis_url) as others:
        assert not any((await others.stats()).counts.values())


def test_killed_itself_it_leaves_nothing_running() -> None:
    with demo() as process:
        read_until(process, "files after")
        started = psutil.Process(process.pid).children(recursive=True)
        assert started
        process.kill()
        process.wait()
        # The workers try for some seconds to put their jobs back on a server that has ended as well.
        eventually_sync(lambda: not any(alive(child) for child in started), 3 * SOON)


@pytest.mark.parametrize(
    ("number", "to_group", "moment"),
    [
        (signal.SIGINT, True, "files "),
        (signal.SIGTERM, False, "server "),
        (signal.SIGINT, True, "workers "),
        (signal.SIGTERM, True, "files after"),
        (signal.SIGINT, True, "files after"),
        (signal.SIGTERM, False, "kill -9"),
    ],
)
def test_interrupted_at_any_moment_it_leaves_nothing_running(
    number: signal.Signals, to_group: bool, moment: str
) -> None:
    with demo("--kill") as process:
        read_until(process, moment)
        started = psutil.Process(process.pid).children(recursive=True)
        began = time.monotonic()
        if to_group:
            os.killpg(process.pid, number)
        else:
            process.send_signal(number)
        output = process.communicate()[0]
        assert process.returncode == 128 + number, output
        assert time.monotonic() - began < SOON
        assert "Traceback" not in output
        assert f"{number.name}: stopped" in output
        # Processes that a killed worker's jobs ran in end by themselves, with their job.
        eventually_sync(lambda: not any(alive(child) for child in started), SOON)


def alive(process: psutil.Process) -> bool:
    with contextlib.suppress(psutil.NoSuchProcess):
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    return False


class Terminal:
    """A demo on a pseudo-terminal of 80 columns."""

    def __init__(self) -> None:
        self._keyboard, its_side = pty.openpty()
        termios.tcsetwinsize(its_side, (24, 80))
        environment = {**os.environ, "TERM": "xterm-256color"}
        for name in ("NO_COLOR", "COLUMNS", "LINES", "FORCE_COLOR"):
            environment.pop(name, None)
        self.process = subprocess.Popen(
            [sys.executable, "-c", ON_ITS_TERMINAL, *COMMAND],
            stdin=its_side,
            stdout=its_side,
            stderr=its_side,
            env=environment,
            start_new_session=True,
        )
        os.close(its_side)
        self.output = ""

    def type(self, keys: bytes) -> None:
        os.write(self._keyboard, keys)

    def read_until(self, pattern: str | None) -> None:
        """Read until the output since then matches, or until its end."""
        begin, deadline = len(self.output), time.monotonic() + LONGEST
        while pattern is None or not re.search(pattern, self.output[begin:]):
            assert select.select([self._keyboard], [], [], deadline - time.monotonic())[0], self.output
            try:
                data = os.read(self._keyboard, 65536)
            except OSError:
                data = b""  # how Linux tells that nobody has the other side any more
            if not data:
                assert pattern is None, self.output
                return
            self.output += data.decode(errors="replace")

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        os.close(self._keyboard)


@pytest.fixture
def terminal() -> Iterator[Terminal]:
    terminal = Terminal()
    yield terminal
    terminal.close()


HIDDEN, SHOWN = "\x1b[?25l", "\x1b[?25h"
BAR = rf"━.* +[1-9]\d*/{len(FILES)}"


def test_on_a_terminal_it_shows_a_bar_and_then_the_report(terminal: Terminal) -> None:
    terminal.read_until(BAR)
    assert HIDDEN in terminal.output
    terminal.read_until("until Ctrl-C")
    (url,) = re.findall(r"The dashboard stays at (http://127\.0\.0\.1:\d+/)", terminal.output)
    with urllib.request.urlopen(url) as page:
        text = page.read().decode()
    assert "Overview · Demo" in text
    assert f"{len(FILES) + PINGS:,}" in text
    terminal.type(b"\x03")
    terminal.read_until(None)
    assert terminal.process.wait(SOON) == 0
    assert terminal.output.rindex(SHOWN) > terminal.output.rindex(HIDDEN)
    plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", terminal.output).replace("\r\n", "\n")
    check_report(plain)
    assert plain.count("files after") == 1
    assert "delayed, " in plain


def test_ctrl_c_on_a_terminal_ends_it_and_brings_the_cursor_back(terminal: Terminal) -> None:
    terminal.read_until(BAR)
    started = psutil.Process(terminal.process.pid).children(recursive=True)
    assert started
    began = time.monotonic()
    terminal.type(b"\x03")
    terminal.read_until(None)
    assert terminal.process.wait(SOON) == 130
    assert time.monotonic() - began < SOON
    assert terminal.output.rindex(SHOWN) > terminal.output.rindex(HIDDEN)
    assert "SIGINT: stopped" in terminal.output
    eventually_sync(lambda: not any(alive(child) for child in started), SOON)


def test_what_keeps_it_from_beginning_is_told_in_a_line() -> None:
    for arguments, why in (
        (["--processes", "0"], "processes must be 1 or more"),
        (["--redis", "redis://127.0.0.1:1/0"], "127.0.0.1:1"),
    ):
        with demo(*arguments) as process:
            output = process.communicate()[0]
        assert process.returncode == 1
        assert "Traceback" not in output
        assert re.search(f"(?m)^error: .*{why}", output), output
