"""What jobs did, as lines in a file: it outlives the workers and the servers that a test kills."""

from __future__ import annotations

import asyncio
import os
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from asyncjobs import current_context

DIRECTORY_VARIABLE = "ASYNCJOBS_TEST_LEDGER"
GATE_SECONDS = 0.01


@dataclass(frozen=True)
class Line:
    """One thing that a job did; `at` is the time by this machine's clock, in seconds."""

    job_id: str
    attempt: int
    event: str
    pid: int
    at: float


class Ledger:
    """A directory with the lines that jobs wrote, and with gates at which they wait for the test."""

    def __init__(self, directory: Path) -> None:
        directory.mkdir(exist_ok=True)
        self.directory = directory
        self._file = directory / "lines"
        self._file.touch()

    # -- in a job --

    def write(self, event: str) -> None:
        """Add a line for the job that runs here."""
        context = current_context()
        line = f"{context.id} {context.attempt} {event} {os.getpid()} {time.time()!r}\n"
        descriptor = os.open(self._file, os.O_WRONLY | os.O_APPEND)
        try:
            os.write(descriptor, line.encode())
        finally:
            os.close(descriptor)

    async def wait_at(self, gate: str) -> None:
        """Wait until the test opens a gate."""
        while not self.is_open(gate):
            await asyncio.sleep(GATE_SECONDS)

    def is_open(self, gate: str) -> bool:
        """Whether a gate is open."""
        return (self.directory / f"{gate}.open").exists()

    # -- in the test --

    def open_gate(self, gate: str) -> None:
        """Let pass all jobs that wait at a gate, now and later."""
        (self.directory / f"{gate}.open").touch()

    def lines(self, event: str | None = None, job_id: str | None = None) -> list[Line]:
        """What was written so far, in order: all of it, of one kind, or of one job."""
        found: list[Line] = []
        for row in self._file.read_text().splitlines():
            identity, attempt, what, pid, at = row.split(" ")
            line = Line(identity, int(attempt), what, int(pid), float(at))
            if event in (None, what) and job_id in (None, identity):
                found.append(line)
        return found

    def runs(self) -> Counter[str]:
        """How often each job began."""
        return Counter(line.job_id for line in self.lines("start"))

    def ends(self) -> Counter[str]:
        """How often the code of each job came to its end."""
        return Counter(line.job_id for line in self.lines("end"))


def ledger_of_test() -> Ledger:
    """The ledger of the test that started this worker."""
    return Ledger(Path(os.environ[DIRECTORY_VARIABLE]))
