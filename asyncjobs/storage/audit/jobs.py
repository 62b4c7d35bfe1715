"""Each job is where its state says, and nowhere else."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from asyncjobs.storage.audit.facts import Finding, JobFacts, Snapshot
from asyncjobs.storage.states import State


def jobs(found: Snapshot) -> Iterator[Finding]:
    """Jobs that aren't where their state says."""
    enqueued = Counter(
        (name, job_id)
        for places in (found.queues, found.prioritized)
        for name, ids in places.items()
        for job_id in ids
    )
    for job_id, job in found.jobs.items():
        if job.unreadable:
            yield Finding("record", job_id, job.unreadable)
            continue
        if job.broken:
            yield Finding("record", job_id, job.broken)
        times = enqueued[job.queue, job_id]
        if job.state in found.lists:
            if job_id not in found.lists[job.state]:
                yield Finding("job", job_id, f"it is {job.state}, but not in that list")
        elif job.state is State.ENQUEUED:
            if times != 1:
                detail = f"it is enqueued, and {times} times in queue {job.queue!r}"
                # One that is missed by a look at a busy queue has another stamp in the next.
                yield Finding("job", job_id, detail, numbers=() if times else job.stamp)
        elif job.state is State.STAGING and not _may_be_staging(found, job.batch):
            yield Finding("job", job_id, f"it is staging, but batch {job.batch!r} isn't there")
        of_itself = job.ghost_in == job.queue and job.state is State.ENQUEUED
        if job.ghost_in and enqueued[job.ghost_in, job_id] <= of_itself:
            yield Finding(
                "record",
                job_id,
                f"its id is said to be left in queue {job.ghost_in!r}, and isn't",
                job.ghost_in,
            )
        if times > 1 and job.state is not State.ENQUEUED:
            yield Finding("id", job_id, f"it is {times} times in queue {job.queue!r}", job.queue)
    yield from _expiring(found)


def _may_be_staging(found: Snapshot, batch_id: str) -> bool:
    """Whether there is a batch that it leaves this state with; that is another matter then."""
    return batch_id in found.batches or f"~{batch_id}" in found.under_way or batch_id in found.lost_batches


def _expiring(found: Snapshot) -> Iterator[Finding]:
    """A retention of its own is known in two places."""
    if found.expiring is None:
        return
    for job_id in found.expiring:
        job = found.jobs.get(job_id)
        if job is None or not job.state.is_final:
            yield Finding("expiry", job_id, f"it is to be removed at its time, but {is_(job)}", "job")
        elif not job.expires:
            yield Finding("expiry", job_id, "it is to be removed at a time of its own, and has none", "job")
    for job_id, job in found.jobs.items():
        if job.expires and job.state.is_final and job_id not in found.expiring:
            yield Finding("expiry", job_id, "it has a retention of its own that nobody watches", "job")


def places(found: Snapshot) -> Iterator[Finding]:
    """Ids that are in a list or queue where their job isn't."""
    for state, ids in found.lists.items():
        for job_id in ids:
            job = found.jobs.get(job_id)
            if job is None or job.unreadable or job.state is not state:
                yield Finding("id", job_id, f"it is in the list {state}, but {is_(job)}", f"list {state}")
    for name, ids in found.prioritized.items():
        for job_id in ids:
            if not is_enqueued_in(found, name, job_id):
                job = found.jobs.get(job_id)
                yield Finding("id", job_id, f"it is in queue {name!r} by priority, but {is_(job)}", name)
    for name, all_ids in found.queues.items():
        for job_id in dict.fromkeys(all_ids):
            job = found.jobs.get(job_id)
            if job is not None and job.ghost_in != name and not is_enqueued_in(found, name, job_id):
                yield Finding("id", job_id, f"it is in queue {name!r}, but {is_(job)}", name)


def is_enqueued_in(found: Snapshot, queue: str, job_id: str) -> bool:
    """Whether a job belongs into a queue."""
    job = found.jobs.get(job_id)
    return job is not None and not job.unreadable and job.state is State.ENQUEUED and job.queue == queue


def is_(job: JobFacts | None) -> str:
    """What a job is, in words."""
    if job is None:
        return "there is no such job"
    if job.unreadable:
        return "the job's record can't be read"
    return f"the job is {job.state}" + (f" in queue {job.queue!r}" if job.state is State.ENQUEUED else "")
