"""Each unique key is held by a job that claims it, and by the one that should."""

from __future__ import annotations

from collections.abc import Iterator

from asyncjobs.storage.audit.facts import Finding, Snapshot
from asyncjobs.storage.audit.jobs import is_
from asyncjobs.storage.states import State
from asyncjobs.storage.unique import Until

HOLDS = (State.STAGING, State.AWAITING, State.SCHEDULED, State.ENQUEUED, State.THROTTLED)


def unique(found: Snapshot) -> Iterator[Finding]:
    """What is wrong with unique keys."""
    for key, (job_id, for_a_time) in sorted(found.unique.items()):
        job = found.jobs.get(job_id)
        # For a time, a job holds a key whatever becomes of it.
        if for_a_time:
            continue
        if job is None or job.unreadable or job.state.is_final:
            yield Finding("unique", key, f"{job_id} holds it, but {is_(job)}", "key")
        elif job.unique != key or job.until is Until.PERIOD:
            yield Finding("unique", key, f"{job_id} holds it, and doesn't claim it", "key")
    for job_id, job in sorted(found.jobs.items()):
        # One that has run may have been replaced meanwhile, which leaves it alone.
        waits = job.state in HOLDS and not job.stamp[1] and not job.unreadable
        if waits and job.unique and job.until is not Until.PERIOD and job.unique not in found.unique:
            yield Finding("unique", job.unique, f"{job_id} claims it and waits, and nobody holds it", job_id)
