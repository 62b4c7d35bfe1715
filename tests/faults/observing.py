"""What tests ask about many jobs at once, through the client's public calls."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Iterable

from asyncjobs import Client, Job, State
from tests.waiting import eventually

FINAL = (State.SUCCEEDED, State.FAILED, State.CANCELLED)


async def jobs_of(client: Client, ids: Iterable[str]) -> list[Job[object]]:
    """The jobs as they are now; fails if one doesn't exist."""
    ids = list(ids)
    jobs = await asyncio.gather(*map(client.get, ids))
    gone = [job_id for job_id, job in zip(ids, jobs, strict=True) if job is None]
    assert not gone, f"{len(gone)} jobs are gone, such as {gone[0]}"
    return [job for job in jobs if job is not None]


async def states(client: Client, ids: Iterable[str]) -> Counter[str]:
    """How many of the jobs are in each state."""
    return Counter(str(job.state) for job in await jobs_of(client, ids))


async def all_ended(client: Client, count: int, timeout: float = 60) -> None:
    """Wait until the namespace holds so many jobs that have ended."""

    async def ended() -> bool:
        counts = (await client.stats()).counts
        told = {str(state): number for state, number in counts.items() if number}
        assert sum(counts[state] for state in FINAL) >= count, told
        return True

    await eventually(ended, timeout, because=f"{count} jobs have ended")


async def all_succeeded(client: Client, ids: Iterable[str], timeout: float = 60) -> None:
    """Wait until all of these have ended (the namespace holds no others); each must have succeeded."""
    ids = list(ids)
    await all_ended(client, len(ids), timeout)
    assert await states(client, ids) == {"succeeded": len(ids)}


async def events_of(client: Client, ids: Iterable[str]) -> dict[str, list[str]]:
    """The events in the history of each job, oldest first."""
    jobs = await jobs_of(client, ids)
    histories = await asyncio.gather(*(job.history() for job in jobs))
    return {job.id: [entry.event for entry in history] for job, history in zip(jobs, histories, strict=True)}


async def running_on(client: Client, worker_id: str) -> int:
    """How many leases a worker holds."""
    return next((worker.running for worker in await client.workers() if worker.id == worker_id), 0)


async def renewed(client: Client, worker_id: str) -> bool:
    """Whether a worker's lease lies in the future."""
    now = (await client.stats()).now
    return any(worker.id == worker_id and worker.lease_ends_at > now for worker in await client.workers())


async def passed(seconds: float) -> None:
    """Let a time pass that is itself the matter of a test: a fault's length, a random moment."""
    until = time.monotonic() + seconds
    await eventually(lambda: time.monotonic() >= until, seconds + 10)
