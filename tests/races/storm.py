"""Fifty clients in two processes that make jobs of one key at the same time."""

from __future__ import annotations

import json
from dataclasses import dataclass

from tests.faults.conftest import ProcessFactory
from tests.faults.ledger import Ledger
from tests.waiting import eventually

PROCESSES = 2
CLIENTS = 25
CALLS = 6


@dataclass(frozen=True)
class Made:
    """A call, as its client saw it."""

    call: str
    job_id: str
    begin: float
    end: float
    """By the clock that all processes of a machine share."""
    begin_ms: int
    end_ms: int
    """By the clock that Redis has on this machine."""


async def storm(
    start_process: ProcessFactory, ledger: Ledger, url: str, name: str, delay: float = 0
) -> list[Made]:
    """What all of their calls came to."""
    told = (url, name, str(CLIENTS), str(CALLS), str(delay))
    processes = [start_process("-m", "tests.races.clients", *told) for _ in range(PROCESSES)]
    for word in ("ready", "done"):
        for process in processes:
            await eventually(
                lambda process=process, word=word: word in process.log.split() or not process.alive, 60
            )
            assert word in process.log.split(), process.log
        ledger.open_gate("go")
    made: list[Made] = []
    for process in processes:
        for line in process.log.splitlines():
            if line.startswith("{"):
                row = json.loads(line)
                made.append(Made(row["call"], row["id"], *row["at"], *row["ms"]))
    assert len(made) == PROCESSES * CLIENTS * CALLS
    return made
