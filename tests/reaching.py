"""Waiting for a job to come into a state."""

from __future__ import annotations

from typing import TypeVar

from asyncjobs import Job, State
from tests.waiting import eventually

R = TypeVar("R")


async def reaches(job: Job[R], *states: State, timeout: float = 10) -> Job[R]:
    """Wait until a job is in one of `states`; the job as it is then."""

    async def there() -> bool:
        return (await job.refresh()).state in states

    try:
        await eventually(there, timeout)
    except AssertionError:
        told = [f"{entry.event} {entry.error_type}: {entry.error_message}" for entry in await job.history()]
        wanted = " or ".join(states)
        raise AssertionError(f"{job!r} was not {wanted} within {timeout:g} s; its history: {told}") from None
    return job
