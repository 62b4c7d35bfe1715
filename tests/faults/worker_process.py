"""A worker in a process of its own, for a test to kill, stall and read the log of."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import psutil

from tests.faults.ledger import DIRECTORY_VARIABLE, Ledger
from tests.waiting import eventually_sync

ROOT = Path(__file__).parents[2]
START_SECONDS = 30
SERVES = re.compile(r"worker (\S+) serves ")


class WorkerProcess:
    """A worker, or a supervisor with its workers: `python ARGUMENTS`."""

    def __init__(self, arguments: list[str], log: Path, ledger: Ledger) -> None:
        self._log = log
        with log.open("wb") as output:
            self.process = subprocess.Popen(
                [sys.executable, *arguments],
                cwd=ROOT,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env={**os.environ, DIRECTORY_VARIABLE: str(ledger.directory)},
            )
        self._paused = False

    @property
    def log(self) -> str:
        """What it has logged so far."""
        return self._log.read_text(errors="replace")

    @property
    def id(self) -> str:
        """The id under which it first registered; it has to serve already."""
        found = SERVES.search(self.log)
        assert found is not None, self.log
        return found[1]

    @property
    def ids(self) -> list[str]:
        """All ids of workers that have served in it, in that order."""
        return SERVES.findall(self.log)

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def alive(self) -> bool:
        return self.process.poll() is None

    def wait_until_serving(self, workers: int = 1) -> None:
        """Wait until it takes jobs, or so many workers in it do."""

        def serves() -> bool:
            assert self.alive, f"the worker ended with {self.process.returncode}:\n{self.log}"
            return len(self.ids) >= workers

        eventually_sync(serves, START_SECONDS, because="the worker serves", ignoring=())

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal."""
        self.process.send_signal(number)

    def kill(self) -> None:
        """Kill it with SIGKILL, and wait until it is dead."""
        self.process.kill()
        self.process.wait()

    def pause(self) -> None:
        """Stall it (SIGSTOP)."""
        self.signal(signal.SIGSTOP)
        process = psutil.Process(self.pid)
        eventually_sync(lambda: process.status() == psutil.STATUS_STOPPED, because="the worker is stalled")
        self._paused = True

    def resume(self) -> None:
        """Let it go on after `pause()`."""
        self.signal(signal.SIGCONT)
        self._paused = False

    def stop(self, timeout: float = 30) -> int:
        """End it with SIGTERM; its exit code."""
        if self._paused:
            self.resume()
        self.signal(signal.SIGTERM)
        return self.process.wait(timeout)

    def close(self) -> None:
        """Make sure that it is gone, and its children with it."""
        if not self.alive:
            return
        children = psutil.Process(self.pid).children(recursive=True)
        self.kill()
        for child in children:
            if child.is_running():
                child.kill()
