"""Unique keys of a shard in memory."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from asyncjobs.clock import Clock
from asyncjobs.storage.base import State, UniqueClaim, Until
from asyncjobs.storage.memory.entries import Job


@dataclass(slots=True)
class Hold:
    """Who holds a key, and until when, where that is a time."""

    job_id: str
    until_ms: int | None


class UniqueKeys:
    """All of them."""

    def __init__(self, jobs: Mapping[str, Job], now: Clock) -> None:
        self.held: dict[str, Hold] = {}
        self._jobs = jobs
        self._now = now

    def holder(self, key: str) -> str | None:
        """The job that holds a key; None if none does."""
        hold = self.held.get(key)
        if hold is None:
            return None
        if hold.until_ms is not None:
            return hold.job_id if hold.until_ms > self._now() else None
        job = self._jobs.get(hold.job_id)
        if job is None or job.state.is_final or job.cancel_requested or self._is_overdue(job):
            return None
        return hold.job_id

    def overdue(self, key: str) -> Job | None:
        """The job that has a key, but is past its deadline, so that it holds it no longer."""
        hold = self.held.get(key)
        if hold is None or hold.until_ms is not None:
            return None
        job = self._jobs.get(hold.job_id)
        return job if job is not None and not job.state.is_final and self._is_overdue(job) else None

    def _is_overdue(self, job: Job) -> bool:
        waits = job.state is not State.PROCESSING
        return waits and bool(job.deadline_ms) and self._now() >= job.deadline_ms

    def claim(self, job_id: str, claim: UniqueClaim) -> None:
        """A job takes a key, whoever has it."""
        until = self._now() + claim.period_ms if claim.until is Until.PERIOD else None
        self.held[claim.key] = Hold(job_id, until)

    def release(self, job: Job) -> None:
        """A job lets go of its key, unless it has it for a time, or not at all."""
        claim = job.claim
        if claim is None or claim.until is Until.PERIOD:
            return
        hold = self.held.get(claim.key)
        if hold is not None and hold.job_id == job.id:
            del self.held[claim.key]

    def disown(self, job: Job) -> None:
        """A job that never appeared lets go of its key, for whatever time it has it."""
        claim = job.claim
        if claim is not None and (hold := self.held.get(claim.key)) and hold.job_id == job.id:
            del self.held[claim.key]
