"""Turns at something of which there is one at a time: what each process tells of its own; who overlapped."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from tests.faults.ledger import DIRECTORY_VARIABLE, Ledger
from tests.faults.worker_process import WorkerProcess
from tests.waiting import eventually


@dataclass(frozen=True)
class Told:
    """A line of `tell`; `at` is of the clock that all processes of this machine share."""

    event: str
    token: int
    pid: int
    at: float


def tell(event: str, token: int | None) -> None:
    """Add a line of what happened when, in the process that it happened in."""
    line = f"{event} {token} {os.getpid()} {time.monotonic()!r}\n"
    descriptor = os.open(
        Path(os.environ[DIRECTORY_VARIABLE]) / "turns", os.O_WRONLY | os.O_APPEND | os.O_CREAT
    )
    try:
        os.write(descriptor, line.encode())
    finally:
        os.close(descriptor)


def told(ledger: Ledger) -> list[Told]:
    """All lines."""
    file = ledger.directory / "turns"
    rows = file.read_text().splitlines() if file.exists() else []
    lines = [row.split(" ") for row in rows]
    return [Told(event, int(token), int(pid), float(at)) for event, token, pid, at in lines]


def starts(ledger: Ledger) -> list[Told]:
    """The beginnings of turns."""
    return [line for line in told(ledger) if line.event == "start"]


def ended(ledger: Ledger, token: int) -> bool:
    """Whether the turn of this token has ended in order."""
    return any(line.event == "stop" and line.token == token for line in told(ledger))


def assert_never_two(ledger: Ledger) -> None:
    """Each one's last sign of life is older than the next one's first, and its number lower."""
    lines = sorted(told(ledger), key=lambda line: line.at)
    turns: dict[int, list[Told]] = {}
    for line in lines:
        turns.setdefault(line.token, []).append(line)
    assert len(turns) > 1
    for (token, earlier), (next_token, later) in pairwise(turns.items()):
        assert token < next_token
        assert earlier[-1].at < later[0].at, f"{earlier[-1]} came after {later[0]}"


async def begun(ledger: Ledger, count: int = 1) -> Told:
    """Wait until there were so many turns; the beginning of the last of them."""
    await eventually(lambda: len(starts(ledger)) >= count, 30)
    return starts(ledger)[count - 1]


def holder_and_others(workers: list[WorkerProcess], begin: Told) -> tuple[WorkerProcess, list[WorkerProcess]]:
    """The process whose turn it is, and those whose it isn't."""
    (holder,) = [worker for worker in workers if worker.pid == begin.pid]
    return holder, [worker for worker in workers if worker is not holder]
