"""Each job that runs is held by a worker, which knows of it and can lose it."""

from __future__ import annotations

from collections.abc import Iterator

from asyncjobs.storage.audit.facts import Finding, Snapshot, WorkerFacts
from asyncjobs.storage.audit.jobs import is_
from asyncjobs.storage.states import State


def workers(found: Snapshot) -> Iterator[Finding]:
    """Workers' records, leases, and what they're told."""
    for job_id, job in found.jobs.items():
        if job.state is State.PROCESSING:
            worker = found.workers.get(job.worker)
            if worker is None or job_id not in worker.held:
                name = job.worker or "no worker"
                yield Finding(
                    "lease", job_id, f"it is processing, but {name} holds no lease on it", job.worker
                )
            elif (
                worker.cancels is not None
                and worker.known
                and job.cancel_requested
                and job_id not in worker.cancels
            ):
                yield Finding(
                    "cancel",
                    job_id,
                    f"its cancellation is asked for, and {job.worker} isn't told",
                    job.worker,
                )
    for name, worker in sorted(found.workers.items()):
        yield from _record(name, worker)
        if worker.known and not worker.reaping:
            yield from _told(found, name, worker)


def _told(found: Snapshot, name: str, worker: WorkerFacts) -> Iterator[Finding]:
    """What a worker is said to hold, or to be asked for, for nothing."""
    for job_id in sorted(worker.held):
        held = found.jobs.get(job_id)
        if held is None or held.state is not State.PROCESSING or held.worker != name:
            yield Finding("lease", job_id, f"worker {name} holds a lease on it, but {is_(held)}", name)
    if worker.suspect and worker.suspect not in worker.held:
        yield Finding("lease", worker.suspect, f"worker {name} is said to run it as its suspect", name)
    for job_id in sorted(worker.cancels or ()):
        told = found.jobs.get(job_id)
        if told is None or told.worker != name or not told.cancel_requested:
            yield Finding(
                "cancel", job_id, f"worker {name} is told to cancel it, and nobody asks for that", name
            )


def _record(name: str, worker: WorkerFacts) -> Iterator[Finding]:
    if not worker.known:
        if worker.held:
            yield Finding("worker", name, f"there is no such worker, and it holds {len(worker.held)} leases")
        elif worker.registered:
            yield Finding("worker", name, "it has a lease, and no record")
    elif not worker.registered:
        yield Finding("worker", name, "it has no lease that could run out: nobody would take its jobs back")
