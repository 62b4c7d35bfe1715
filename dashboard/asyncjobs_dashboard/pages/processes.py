"""The background processes: where each runs, where it stands by, and whether it keeps failing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from heapq import nsmallest

from aiohttp import web

from asyncjobs.monitoring import LockInfo, ProcessInfo, WorkerInfo
from asyncjobs.processes import ProcessState
from asyncjobs_dashboard.pages.jobs import whole_number
from asyncjobs_dashboard.rendering import page
from asyncjobs_dashboard.setup import SETUP

PAGE = 50
"""Processes on one page."""
MOST_WORKERS = 10
"""Workers of each that are listed; those in which it fails come first."""
LONGEST = 200
"""Characters of a process' name."""

ORDER = (
    ProcessState.RESTARTING,
    ProcessState.RUNNING,
    ProcessState.WAITING,
    ProcessState.STARTING,
    ProcessState.STANDBY,
)
"""In which states are told, and the workers of a process listed."""
RANK = {state: rank for rank, state in enumerate(ORDER)}


@dataclass(slots=True)
class Row:
    """A background process, in all workers that have it."""

    name: str
    places: list[tuple[WorkerInfo, ProcessInfo]] = field(default_factory=list[tuple[WorkerInfo, ProcessInfo]])
    counts: Counter[ProcessState] = field(default_factory=Counter[ProcessState])
    """In how many workers it is in each state."""
    is_single: bool = False
    """It runs in one worker at a time."""
    lock: LockInfo | None = None
    """What that one holds."""

    @property
    def states(self) -> list[tuple[ProcessState, int]]:
        """What there is of `counts`, in the order in which it is told."""
        return [(state, self.counts[state]) for state in ORDER if self.counts[state]]

    @property
    def restarts(self) -> int:
        """In all workers."""
        return sum(process.restarts for _, process in self.places)

    @property
    def shown(self) -> list[tuple[WorkerInfo, ProcessInfo]]:
        """The workers that are listed."""
        return nsmallest(
            MOST_WORKERS,
            self.places,
            key=lambda place: (RANK[place[1].state], -place[1].restarts, place[0].id),
        )

    @property
    def holder(self) -> WorkerInfo | None:
        """The worker that holds the lock, as far as that can be told: holders and workers begin alike."""
        if self.lock is None:
            return None
        # Several workers may live in one process: of these it is one that doesn't stand by.
        mine = [
            (process.state is ProcessState.STANDBY, worker.id, worker)
            for worker, process in self.places
            if self.lock.holder.startswith(worker.id.rpartition("-")[0] + "-")
        ]
        return min(mine)[2] if mine else None


async def processes(request: web.Request) -> web.Response:
    """A page of them, by name."""
    setup = request.app[SETUP]
    snapshot = await setup.live.snapshot()
    word = request.query.get("q", "").strip()[:LONGEST]
    known = _by_name(snapshot.workers)
    found = [row for row in known if word.lower() in row.name.lower()]
    offset = whole_number(request.query.get("from", ""), 0, 10**9)
    rows = found[offset : offset + PAGE]
    locks = await setup.process_locks.held([row.name for row in rows])
    for row in rows:
        row.lock = locks.get(row.name)
        row.is_single = (
            row.lock is not None
            or setup.process_locks.scope(row.name) == "cluster"
            or bool(row.counts[ProcessState.STANDBY])
        )
    return await page(
        request,
        "processes.html",
        section="processes",
        rows=rows,
        known=len(known),
        found=len(found),
        word=word,
        base={"q": word} if word else {},
        offset=offset,
        size=PAGE,
        workers=len(snapshot.workers),
        failing=sum(bool(row.counts[ProcessState.RESTARTING]) for row in known),
    )


def _by_name(workers: Iterable[WorkerInfo]) -> list[Row]:
    rows: dict[str, Row] = {}
    for worker in workers:
        for process in worker.processes:
            row = rows.get(process.name)
            if row is None:
                row = rows[process.name] = Row(process.name)
            row.places.append((worker, process))
            row.counts[process.state] += 1
    return [rows[name] for name in sorted(rows)]
