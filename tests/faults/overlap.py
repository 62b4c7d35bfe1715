"""How many jobs ran at once, and what limits say when all is over."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from asyncjobs import Client, State
from tests.faults.ledger import Ledger, Line
from tests.faults.observing import jobs_of
from tests.waiting import eventually

IDLE_SECONDS = 10
GIVEN_BACK = ("recovered", "released", "retrying", "snoozed")


@dataclass(frozen=True)
class Run:
    """One attempt, from when its code began to when that ended, or its worker lost it. Seconds."""

    job_id: str
    begin: float
    end: float


async def runs_of(client: Client, ledger: Ledger, ids: Iterable[str]) -> list[Run]:
    """All attempts of these jobs, which have ended.

    One that was lost counts until somebody took it back, which is by Redis' clock: this machine's, too.
    """
    lines: dict[str, list[Line]] = {}
    for line in ledger.lines():
        lines.setdefault(line.job_id, []).append(line)
    found: list[Run] = []
    for job in await jobs_of(client, ids):
        told = lines.get(job.id, [])
        starts = [line for line in told if line.event == "start"]
        history = await job.history() if job.recoveries or len(starts) > 1 else []
        for begun in starts:
            same = [line for line in told if (line.attempt, line.pid) == (begun.attempt, begun.pid)]
            ends = [line.at for line in same if line.event == "end" and line.at >= begun.at]
            # Of these, there is less than a millisecond that isn't known.
            ends += [
                max(entry.at_ms / 1000, begun.at)
                for entry in history
                if entry.event in GIVEN_BACK
                and entry.attempt == begun.attempt
                and entry.at_ms / 1000 + 0.001 > begun.at
            ]
            assert ends, (job, begun, told, history)
            found.append(Run(job.id, begun.at, min(ends)))
    return found


def most_at_once(runs: Iterable[Run]) -> int:
    """The greatest number of them that ran at one moment."""
    changes = sorted(change for run in runs for change in ((run.begin, 1), (run.end, -1)))
    running = most = 0
    for _, change in changes:
        running += change
        most = max(most, running)
    return most


def most_by(runs: Iterable[Run], group: Callable[[Run], object]) -> int:
    """The same of those of any one group."""
    groups: dict[object, list[Run]] = {}
    for run in runs:
        groups.setdefault(group(run), []).append(run)
    return max(map(most_at_once, groups.values()), default=0)


async def limits_are_idle(client: Client) -> None:
    """Wait until nothing is known of any limit, as it has to be when all is over; nobody waits for one."""

    async def idle() -> bool:
        # That of a rate is when its last window is over.
        assert await client.limits.list(limit=1000) == []
        assert await client.limits.count() == 0
        return True

    await eventually(idle, IDLE_SECONDS)
    assert (await client.stats()).counts[State.THROTTLED] == 0
