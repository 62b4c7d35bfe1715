"""A worker's exchange: hand in what is done, fetch as many jobs as there are free slots."""

from __future__ import annotations

from asyncjobs.errors import StorageError, WorkerGone
from asyncjobs.storage import base
from asyncjobs.storage.base import (
    ExchangeReply,
    ExchangeRequest,
    Finish,
    Finished,
    Grant,
    LogLine,
    Note,
    Outcome,
    State,
    Until,
)
from asyncjobs.storage.memory.entries import Job, Place, Queue, Worker
from asyncjobs.storage.memory.follow_up import called_off, follow_up
from asyncjobs.storage.memory.retention import trim_list
from asyncjobs.storage.memory.shard import Shard
from asyncjobs.storage.memory.throttling import acquire, drop_enqueued, enter_queue


def exchange(shard: Shard, request: ExchangeRequest) -> ExchangeReply:
    """Carry out one exchange. Its steps, in order, are told at `Storage.exchange`."""
    worker = shard.workers.get(request.worker)
    if worker is None or worker.reaping:
        raise WorkerGone(f"worker {request.worker} is not registered: register under a new id")
    if request.number < worker.number:
        raise StorageError(f"exchange {request.number} of {request.worker} comes after {worker.number}")

    again = request.number == worker.number
    dirty: set[str] = set()
    """Queues that may need their marker put back."""
    woken_by_suspect: set[str] = set()
    ended: list[State] = []
    if not again:
        dirty.update(request.popped)
        worker.number = request.number
        worker.results = [
            _finish(shard, request.worker, worker, finish, dirty, woken_by_suspect, ended)
            for finish in request.finishes
        ]
        follow_up(shard, dirty)

    more = False
    for state in (State.SCHEDULED, State.RETRYING):
        more |= _promote_due(shard, state, dirty)
    more |= shard.limits.open_windows(base.WINDOWS_LIMIT)
    follow_up(shard, dirty)
    woken_by_suspect |= shard.woken_suspects
    shard.woken_suspects.clear()

    if not again:
        worker.granted = []
        more |= _fetch(shard, request, worker, woken_by_suspect)
        for name in request.queues:
            dirty.discard(name)
            queue = shard.queues.get(name)
            if queue is not None and _has_work(queue, suspects=name in woken_by_suspect):
                shard.put_marker(name)
    follow_up(shard, dirty)
    for name in dirty:
        shard.put_marker(name)

    for state in dict.fromkeys(ended):
        trim_list(shard, state, request.retention, limit=2 * ended.count(state))

    next_due = shard.next_due()
    return ExchangeReply(
        now_ms=shard.now(),
        results=list(worker.results),
        grants=[_grant(job) for job in _still_leased(shard, request, worker)],
        next_due_ms=next_due,
        due_claimed=next_due is not None and _claim_due(shard, next_due, request.worker),
        more=more,
        follow_ups=bool(shard.outbox),
        dropped=[],
    )


def _finish(
    shard: Shard,
    worker_id: str,
    worker: Worker,
    finish: Finish,
    dirty: set[str],
    woken_by_suspect: set[str],
    ended: list[State],
) -> Finished:
    job = _leased(shard, worker_id, finish.id, finish.exchange)
    if job is None:
        return Finished.LOST

    outcome = finish.outcome
    if job.cancel_requested and outcome in (Outcome.RETRY, Outcome.SNOOZE, Outcome.RELEASED):
        outcome = Outcome.CANCELLED

    def end(state: State) -> None:
        shard.end(job, state, retention_ms=finish.retention_ms)
        if job.id in shard.jobs:
            ended.append(state)

    now = shard.now()
    match outcome:
        case Outcome.SUCCEEDED:
            job.result = finish.result
            job.result_kept = finish.result_kept
            end(State.SUCCEEDED)
        case Outcome.FAILED:
            job.failures += 1
            shard.record(job, "failed", worker=worker_id, error=finish.error)
            end(State.FAILED)
        case Outcome.CANCELLED:
            shard.record(job, "cancelled", worker=worker_id, error=finish.error)
            end(State.CANCELLED)
        case Outcome.RETRY:
            job.failures += 1
            shard.count("retried")
            shard.record(job, "retrying", worker=worker_id, error=finish.error)
            shard.wait_until_due(job, State.RETRYING, now + finish.delay_ms)
        case Outcome.SNOOZE:
            shard.record(job, "snoozed", worker=worker_id)
            job.attempt -= 1
            shard.wait_until_due(job, State.SCHEDULED, now + finish.delay_ms)
        case Outcome.RELEASED:
            shard.record(job, "released", worker=worker_id)
            job.attempt -= 1
            is_suspect = worker.suspect == job.id
            shard.enqueue_first(job, suspect=is_suspect)
            dirty.add(job.queue)
            if is_suspect:
                woken_by_suspect.add(job.queue)
    return Finished.DONE


def _leased(shard: Shard, worker_id: str, job_id: str, exchange: int) -> Job | None:
    """The job, if that lease on it is still good."""
    job = shard.jobs.get(job_id)
    if job and job.state is State.PROCESSING and (job.worker, job.exchange) == (worker_id, exchange):
        return job
    return None


def _promote_due(shard: Shard, state: State, dirty: set[str]) -> bool:
    """Due jobs → `enqueued`, a bounded number; whether more are due."""
    due = list(shard.lists[state].up_to(shard.now()))
    for job_id in due[: base.PROMOTE_LIMIT]:
        job = shard.jobs[job_id]
        enter_queue(shard, job)
        dirty.add(job.queue)
    return len(due) > base.PROMOTE_LIMIT


def _fetch(shard: Shard, request: ExchangeRequest, worker: Worker, woken_by_suspect: set[str]) -> bool:
    """Lease up to as many jobs as there are slots; whether the bound on skipped ids was reached."""
    slots, skips = request.slots, base.SKIP_LIMIT
    for name in request.queues:
        queue = shard.queues.get(name)
        if queue is None or queue.paused:
            continue
        while slots > 0 and skips > 0 and (found := queue.take(suspects=not worker.suspect)):
            place, job_id = found
            job = shard.lies_at(name, place, job_id)
            if job is None:
                shard.skip(name, place, job_id)
                skips -= 1
                continue
            if called_off(shard, job.batch):
                job.place = Place.NOWHERE
                drop_enqueued(shard, job, "cancelled")
                skips -= 1
                continue
            if job.deadline_ms and shard.now() >= job.deadline_ms:
                job.place = Place.NOWHERE
                drop_enqueued(shard, job, "expired")
                skips -= 1
                continue
            if not acquire(shard, job, suspect=place is Place.SUSPECTS):
                skips -= 1
                continue
            if job.claim and job.claim.until is Until.STARTED:
                shard.unique.release(job)
            if place is Place.SUSPECTS:
                worker.suspect = job_id
                woken_by_suspect.add(name)
            shard.start(job, request.worker, request.number)
            worker.granted.append(job_id)
            slots -= 1
    return skips == 0


def _has_work(queue: Queue, *, suspects: bool) -> bool:
    return bool(queue.plain or queue.prioritized or (suspects and queue.suspects))


def _still_leased(shard: Shard, request: ExchangeRequest, worker: Worker) -> list[Job]:
    """What this exchange granted, less what was taken away since (its reply may be asked for again)."""
    return [shard.jobs[job_id] for job_id in worker.granted if job_id in worker.leases]


def _grant(job: Job) -> Grant:
    return Grant(
        id=job.id,
        name=job.name,
        queue=job.queue,
        payload=job.payload,
        options=job.options,
        attempt=job.attempt,
        failures=job.failures,
        recoveries=job.recoveries,
        enqueued_ms=job.enqueued_ms,
        exchange=job.exchange,
        batch=job.batch,
        outputs=dict(job.outputs) if job.outputs else None,
    )


def _claim_due(shard: Shard, due_ms: int, worker_id: str) -> bool:
    """Claim the next due time for a worker; False if another one that is registered has it."""
    if shard.due_claim is not None:
        claimed_ms, holder = shard.due_claim
        if claimed_ms == due_ms and holder != worker_id and holder in shard.workers:
            return False
    shard.due_claim = (due_ms, worker_id)
    return True


def annotate(shard: Shard, worker_id: str, note: Note) -> None:
    """Store what a running attempt says of itself; nothing if its lease isn't this worker's."""
    job = _leased(shard, worker_id, note.id, note.exchange)
    if job is None:
        return
    if note.progress is not None:
        job.progress, job.progress_message = note.progress, note.message
    job.log.extend(LogLine(shard.now(), job.attempt, text) for text in note.lines)
