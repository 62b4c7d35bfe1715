"""When a worker that is to do what there is now has done it."""

from __future__ import annotations

from collections.abc import Container

from asyncjobs.storage.base import State, Storage


async def left_until_later(storage: Storage, queues: Container[str]) -> int | None:
    """None while anything is to be done now in these queues; else how many jobs are due only later."""
    stats = await storage.stats()
    if stats.follow_ups or any(q.length for q in stats.queues if q.name in queues and not q.paused):
        return None
    if stats.counts[State.THROTTLED] and await _throttled(storage, queues):
        return None
    if await _leased(storage, queues) or await _due(storage, stats.now_ms):
        return None
    return stats.counts[State.SCHEDULED] + stats.counts[State.RETRYING]


async def _leased(storage: Storage, queues: Container[str]) -> bool:
    """Whether a job of the queues runs, here or elsewhere."""
    page = await storage.jobs(State.PROCESSING, limit=10_000)
    return any(job.queue in queues for job in page.jobs)


async def _throttled(storage: Storage, queues: Container[str]) -> bool:
    """Whether a job of the queues waits for its limits."""
    page = await storage.jobs(State.THROTTLED, limit=10_000)
    return any(job.queue in queues for job in page.jobs)


async def _due(storage: Storage, now_ms: int) -> bool:
    """Whether a job that waits for its time need wait no longer."""
    for state in (State.SCHEDULED, State.RETRYING):
        page = await storage.jobs(state, limit=1)
        if page.jobs and page.jobs[0].due_ms <= now_ms:
            return True
    return False
