"""What clients and people do: create, cancel, requeue, promote, delete, pause, resume, purge, clear."""

from __future__ import annotations

from itertools import islice

from asyncjobs.errors import OptionError
from asyncjobs.storage.base import (
    BatchState,
    Cancelled,
    Conflict,
    Created,
    Deleted,
    Moved,
    NewJob,
    Requeued,
    State,
    Until,
)
from asyncjobs.storage.memory.entries import Job, Place
from asyncjobs.storage.memory.follow_up import (
    called_off,
    conclude,
    create_linked,
    detach,
    expire_holder,
    reopen,
)
from asyncjobs.storage.memory.shard import Shard
from asyncjobs.storage.memory.throttling import enter_queue


def create(shard: Shard, new: NewJob, shards: int, queues: set[str]) -> Created | Conflict:
    """→ `enqueued`, or → `scheduled` if it is due later; → `awaiting` with parents, `staging` in a batch.

    What follows is left to the caller, and so are the markers of `queues`.
    """
    controlled = new.unique or new.limits or new.expires_ms
    if (new.parents or new.batch or controlled) and new.id not in shard.jobs and not shard.is_stub(new.id):
        return create_linked(shard, new, shards, queues)
    return create_alone(shard, new)


def create_alone(shard: Shard, new: NewJob) -> Created:
    """The same for a job without parents or batch."""
    if new.id in shard.jobs or shard.is_stub(new.id):
        return Created.EXISTS
    now = shard.now()
    shard.queue(new.queue)
    job = shard.jobs[new.id] = Job.of(new, now)
    due = max(now + new.delay_ms, new.due_ms)
    if due <= now:
        shard.enqueue(job)
        shard.put_marker(new.queue)
    else:
        earliest = shard.next_due()
        shard.wait_until_due(job, State.SCHEDULED, due)
        if earliest is None or due < earliest:
            shard.put_marker(new.queue)
    return Created.CREATED


def cancel(shard: Shard, job_id: str, request_id: str) -> Cancelled:
    """→ `cancelled`; or the worker that runs it is told."""
    job = shard.jobs.get(job_id)
    if job is None:
        return Cancelled.MISSING
    if request_id in job.requests:
        asked = job.state is State.PROCESSING and job.cancel_requested
        return Cancelled.REQUESTED if asked else Cancelled.CANCELLED
    cancelled = cancel_job(shard, job)
    if cancelled is not Cancelled.FINAL:
        job.requests.append(request_id)
    conclude(shard)
    return cancelled


def cancel_job(shard: Shard, job: Job) -> Cancelled:
    """The same, without what follows."""
    if job.state.is_final:
        return Cancelled.FINAL
    if job.state is State.PROCESSING:
        job.cancel_requested = True
        if worker := shard.workers.get(job.worker):
            shard.nudge(worker)
        return Cancelled.REQUESTED
    if job.state in (State.AWAITING, State.STAGING):
        detach(shard, job)
    shard.record(job, "cancelled")
    shard.end(job, State.CANCELLED)
    return Cancelled.CANCELLED


def requeue(shard: Shard, job_id: str, request_id: str) -> Requeued:
    """A final state → `enqueued`, as if new, but that attempts go on counting."""
    job = shard.jobs.get(job_id)
    if job is None:
        return Requeued.MISSING
    if request_id in job.requests:
        return Requeued.REQUEUED
    if not job.state.is_final:
        return Requeued.WRONG_STATE
    batch = shard.batches.get(job.batch)
    if batch is not None and batch.state is BatchState.STAGING:
        return Requeued.WRONG_STATE
    if called_off(shard, job.batch):
        return Requeued.BATCH_CANCELLED
    claim = job.claim if job.claim and job.claim.until is not Until.PERIOD else None
    if claim and shard.unique.holder(claim.key) not in (None, job_id):
        return Requeued.NOT_UNIQUE
    job.requests.append(request_id)
    if batch is not None:
        batch.counts[job.state.value] -= 1
        if batch.state.is_finished:
            reopen(shard, batch)
    job.failures = job.recoveries = job.deaths = 0
    job.result, job.result_kept = b"", True
    job.progress, job.progress_message = None, ""
    job.deadline_ms = 0
    full = shard.limits.full_for(job)
    if full is not None:
        job.enqueued_ms = shard.now()
        shard.throttle(job, full)
    elif job.ghost_in == job.queue:
        shard.enqueue_in_old_place(job)
    else:
        shard.enqueue(job)
    if claim:
        expire_holder(shard, claim.key)
        shard.unique.claim(job_id, claim)
    shard.record(job, "requeued")
    conclude(shard, set() if full else {job.queue})
    return Requeued.REQUEUED


def promote(shard: Shard, job_id: str, request_id: str) -> Requeued:
    """`scheduled` or `retrying` → `enqueued`, whatever the due time."""
    job = shard.jobs.get(job_id)
    if job is None:
        return Requeued.MISSING
    if request_id in job.requests:
        return Requeued.REQUEUED
    if job.state not in (State.SCHEDULED, State.RETRYING):
        return Requeued.WRONG_STATE
    job.requests.append(request_id)
    entered = enter_queue(shard, job)
    shard.record(job, "promoted")
    conclude(shard, {job.queue} if entered else set())
    return Requeued.REQUEUED


def move(shard: Shard, job_id: str, queue: str) -> Moved:
    """A job that isn't running → one of another queue."""
    job = shard.jobs.get(job_id)
    if job is None:
        return Moved.MISSING
    if job.state is State.PROCESSING:
        return Moved.RUNNING
    shard.queue(queue)
    if job.queue == queue:
        return Moved.MOVED
    if job.ghost_in == queue:
        # It comes back as one that is new there: its old place isn't its own any more.
        shard.take_ghost_out(job)
    if job.state in (State.ENQUEUED, State.THROTTLED):
        suspect = job.state is State.THROTTLED and job.was_suspect
        if job.place is Place.SUSPECTS:
            suspect = True
            shard.queues[job.queue].discard(job.place, job.id)
            job.place = Place.NOWHERE
        shard.leave(job)
        job.state, job.queue = State.STAGING, queue
        conclude(shard, {queue} if enter_queue(shard, job, suspect=suspect) else set())
    job.queue = queue
    return Moved.MOVED


def delete(shard: Shard, job_id: str, request_id: str) -> Deleted:
    """Remove a job that isn't running."""
    job = shard.jobs.get(job_id)
    if job is None:
        sent_again = request_id and shard.is_stub(job_id) and shard.deletions.get(job_id) == request_id
        return Deleted.DELETED if sent_again else Deleted.MISSING
    if job.state is State.PROCESSING:
        return Deleted.RUNNING
    _remove(shard, job)
    shard.deletions[job_id] = request_id
    conclude(shard)
    return Deleted.DELETED


def _remove(shard: Shard, job: Job) -> None:
    if job.state in (State.AWAITING, State.STAGING):
        detach(shard, job)
    batch = shard.batches.get(job.batch)
    if batch is not None and batch.state is BatchState.STAGING:
        shard.unique.disown(job)
    shard.remove(job)


def pause(shard: Shard, name: str) -> None:
    """Grant nothing of a queue any more."""
    queue = shard.queue(name)
    queue.paused = True
    queue.marker = False


def resume(shard: Shard, name: str) -> None:
    """Undo `pause`."""
    queue = shard.queues.get(name)
    if queue is not None:
        queue.paused = False
        if queue.has_ids:
            shard.put_marker(name)


def purge(shard: Shard, name: str, limit: int) -> tuple[int, bool]:
    """Delete enqueued jobs of a queue in the order in which they'd run. Ghosts on the way count, too."""
    queue = shard.queues.get(name)
    if queue is None:
        return 0, False
    deleted = 0
    for _ in range(limit):
        found = queue.take(suspects=True)
        if found is None:
            break
        job = shard.lies_at(name, *found)
        if job is None:
            shard.skip(name, *found)
        else:
            job.place = Place.NOWHERE
            _remove(shard, job)
            deleted += 1
    conclude(shard)
    return deleted, queue.has_ids


def clear(shard: Shard, state: State, limit: int) -> tuple[int, bool]:
    """Delete jobs of a list, the earliest first."""
    listed = shard.lists.get(state)
    if listed is None:
        raise OptionError(
            f"jobs that are {state} can't be cleared; choose one of {', '.join(sorted(shard.lists))}"
        )
    first = list(islice(listed, limit))
    for job_id in first:
        _remove(shard, shard.jobs[job_id])
    conclude(shard)
    return len(first), len(listed) > 0
