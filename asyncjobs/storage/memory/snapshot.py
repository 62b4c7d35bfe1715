"""A shard in memory, as far as it can contradict itself."""

from __future__ import annotations

from asyncjobs.ids import shard_of
from asyncjobs.storage.audit import BatchFacts, JobFacts, LimitFacts, Snapshot, WorkerFacts
from asyncjobs.storage.memory.batches import record_of
from asyncjobs.storage.memory.entries import Place, node_of
from asyncjobs.storage.memory.shard import Shard


def snapshot(shard: Shard, shards: int) -> Snapshot:
    """Everything at once. Ghosts aren't counted here, so their number is right by itself."""
    found = Snapshot(shard.now())
    for job in shard.jobs.values():
        own = shard_of(job.id, shards)
        found.jobs[job.id] = JobFacts(
            job.state,
            job.queue,
            job.worker,
            job.batch,
            job.unmet,
            tuple((parent, shard_of(parent.id, shards) != own) for parent in job.parents),
            frozenset(job.receipts),
            job.id in shard.edges,
            job.cancel_requested,
            job.ghost_in,
            (job.enqueued_ms, job.started_ms, job.throttled_ms),
            limits=tuple(job.limits),
            throttled_by=job.throttled_by,
            unique=job.unique,
            until=job.claim.until if job.claim else None,
        )
    found.lists = {state: set(ids) for state, ids in shard.lists.items()}
    for name, queue in shard.queues.items():
        found.queues[name] = [*queue.suspects, *queue.plain]
        found.prioritized[name] = set(queue.prioritized)
        found.ghosts[name] = sum(
            shard.lies_at(name, place, job_id) is None
            for place, ids in ((Place.SUSPECTS, queue.suspects), (Place.PLAIN, queue.plain))
            for job_id in ids
        )
    found.workers = {
        name: WorkerFacts(set(worker.leases), reaping=worker.reaping, suspect=worker.suspect)
        for name, worker in shard.workers.items()
    }
    for batch in shard.batches.values():
        removed = {state: batch.counts[f"removed {state}"] for state in ("succeeded", "failed", "cancelled")}
        found.batches[batch.id] = BatchFacts(
            record_of(batch),
            list(batch.members),
            touched_ms=batch.touched_ms,
            continued=f"~{batch.id}" in shard.edges,
        )
        found.batches[batch.id].removed.update(removed)
    found.edges = {
        node: {child: is_remote for child, (_, is_remote) in edges.items()}
        for node, edges in shard.edges.items()
    }
    _read_limits(shard, found)
    for message in shard.outbox:
        found.messages.add((message.word.value, message.child, node_of(message.parent)))
    return found


def _read_limits(shard: Shard, found: Snapshot) -> None:
    """Limits, where what is counted are sets of jobs; and unique keys."""
    limits = shard.limits
    found.limit_numbers = {name: numbers for name, (numbers, _) in limits.numbers.items()}
    found.limits_under_way = set(limits.renumbered)
    for limit in limits.by_id.values():
        waiters = {queue: set(jobs) for queue, jobs in limit.waiting.items()}
        found.limits[limit.id] = LimitFacts(
            len(limit.running),
            len(limit.starts),
            {queue: len(jobs) for queue, jobs in limit.enqueued.items()},
            {queue: len(ids) for queue, ids in waiters.items()},
            waiters,
            opens=limit.opens_ms is not None,
        )
    for key, hold in shard.unique.held.items():
        found.unique[key] = hold.job_id, hold.until_ms is not None
