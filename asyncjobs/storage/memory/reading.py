"""What readers see, gathered from all shards."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import fields

from asyncjobs.storage.base import Bucket, JobRecord, Page, QueueRecord, State, Stats, WorkerRecord
from asyncjobs.storage.memory.entries import Job
from asyncjobs.storage.memory.shard import Shard

_FIELDS = [field.name for field in fields(JobRecord)]


def record_of(job: Job) -> JobRecord:
    """A copy of a job as readers see it."""
    return JobRecord(**{name: getattr(job, name) for name in _FIELDS})


def jobs(
    shards: Sequence[Shard], state: State, queue: str | None, offset: int, limit: int, newest_first: bool
) -> Page:
    """A page of the jobs in a state."""
    listed = list(_in_order(shards, state, queue))
    if newest_first:
        listed.reverse()
    return Page([record_of(job) for job in listed[offset : offset + limit]], len(listed))


def _in_order(shards: Sequence[Shard], state: State, queue: str | None) -> Iterator[Job]:
    if state is State.ENQUEUED:
        names = [queue] if queue is not None else sorted({name for shard in shards for name in shard.queues})
        for name in names:
            for shard in shards:
                if name in shard.queues:
                    yield from shard.in_order(name)
    elif state is State.PROCESSING:
        running = [
            (worker_id, at, job_id) for at, shard in enumerate(shards) for worker_id, job_id in _leases(shard)
        ]
        yield from (shards[at].jobs[job_id] for _, at, job_id in sorted(running))
    else:
        listed = [
            (shard.lists[state].rank(job_id), at, job_id)
            for at, shard in enumerate(shards)
            if state in shard.lists
            for job_id in shard.lists[state]
        ]
        yield from (shards[at].jobs[job_id] for _, at, job_id in sorted(listed))


def held(shards: Sequence[Shard], worker: str, limit: int) -> Page:
    """The first of the jobs that a worker has leases on."""
    found = sorted(
        (job_id, shard)
        for shard in shards
        if worker in shard.workers
        for job_id in shard.workers[worker].leases
    )
    return Page([record_of(shard.jobs[job_id]) for job_id, shard in found[:limit]], len(found))


def _leases(shard: Shard) -> Iterator[tuple[str, str]]:
    return ((worker_id, job_id) for worker_id, worker in shard.workers.items() for job_id in worker.leases)


def queues(shards: Sequence[Shard]) -> list[QueueRecord]:
    """All known queues, by name."""
    return [_queue(shards, name) for name in sorted({name for shard in shards for name in shard.queues})]


def _queue(shards: Sequence[Shard], name: str) -> QueueRecord:
    parts = [shard for shard in shards if name in shard.queues]
    lengths = [sum(1 for _ in shard.in_order(name)) for shard in parts]
    heads = [next(shard.in_order(name), None) for shard in parts]
    return QueueRecord(
        name=name,
        length=sum(lengths),
        paused=any(shard.queues[name].paused for shard in parts),
        oldest_ms=min((head.enqueued_ms for head in heads if head), default=None),
    )


def workers(shards: Sequence[Shard]) -> list[WorkerRecord]:
    """All registered workers, by id; one that is registered on several shards, as what is worst of it."""
    return [_worker(shards, worker_id) for worker_id in sorted(_worker_ids(shards))]


def _worker(shards: Sequence[Shard], worker_id: str) -> WorkerRecord:
    entries = [shard.workers[worker_id] for shard in shards if worker_id in shard.workers]
    return WorkerRecord(
        id=worker_id,
        info=dict(entries[0].info),
        deadline_ms=min(entry.deadline_ms for entry in entries),
        running=sum(len(entry.leases) for entry in entries),
        reaping=any(entry.reaping for entry in entries),
    )


def _worker_ids(shards: Sequence[Shard]) -> set[str]:
    return {worker_id for shard in shards for worker_id in shard.workers}


def throughput(shards: Sequence[Shard], unit_ms: int, count: int) -> list[Bucket]:
    """The totals of the last hours or days, the oldest first."""
    last = max(shard.now() for shard in shards) // unit_ms
    buckets: list[Bucket] = []
    for number in range(last - count + 1, last + 1):
        totals = Counter[str]()
        for shard in shards:
            totals.update(shard.buckets.get((unit_ms, number), {}))
        buckets.append(Bucket(number * unit_ms, dict(totals)))
    return buckets


def stats(shards: Sequence[Shard]) -> Stats:
    """Numbers of the whole namespace."""
    counts: dict[State, int] = {state: 0 for state in State if state is not State.STAGING}
    totals = Counter[str]()
    for shard in shards:
        totals.update(shard.totals)
        for job in shard.jobs.values():
            if job.state is not State.STAGING:
                counts[job.state] += 1
    names = ("succeeded", "failed", "cancelled", "retried", "recovered", "trimmed")
    return Stats(
        now_ms=max(shard.now() for shard in shards),
        counts=counts,
        totals={name: totals[name] for name in names},
        queues=queues(shards),
        workers=len(_worker_ids(shards)),
        follow_ups=sum(bool(shard.outbox) for shard in shards),
    )
