"""Workers' leases: registering, renewing from a thread, taking back what a dead worker held."""

from __future__ import annotations

from itertools import islice

from asyncjobs.errors import WorkerGone
from asyncjobs.storage.base import HeartbeatReply, ReapReply, State
from asyncjobs.storage.memory.entries import Worker
from asyncjobs.storage.memory.follow_up import conclude
from asyncjobs.storage.memory.shard import Shard
from asyncjobs.storage.records import pack_error


def register(shard: Shard, worker_id: str, info: dict[str, object], lease_ms: int) -> int:
    """Make a worker's entry. The present time."""
    worker = shard.workers.setdefault(worker_id, Worker(lease_ms))
    worker.lease_ms = lease_ms
    worker.info = dict(info)
    _renew(shard, worker)
    return shard.now()


def unregister(shard: Shard, worker_id: str) -> bool:
    """Remove an entry that holds no lease."""
    worker = shard.workers.get(worker_id)
    if worker and worker.leases:
        return False
    shard.workers.pop(worker_id, None)
    return True


def beat(shard: Shard, worker_id: str, held: int, info: dict[str, object] | None) -> HeartbeatReply:
    """Renew a lease, and say what the worker must know."""
    worker = shard.workers.get(worker_id)
    if worker is None or worker.reaping:
        raise WorkerGone(f"worker {worker_id} is not registered: register under a new id")
    _renew(shard, worker)
    worker.nudged = False
    if info is not None:
        worker.info = dict(info)
    leases = [shard.jobs[job_id] for job_id in sorted(worker.leases)]
    now = shard.now()
    return HeartbeatReply(
        now_ms=now,
        cancelled=[job.id for job in leases if job.cancel_requested],
        held=None if len(leases) == held else [(job.id, job.exchange) for job in leases],
        expired=now >= shard.hold_ms and _first_expired(shard) is not None,
        follow_ups=bool(shard.outbox),
        command=worker.command,
    )


def _renew(shard: Shard, worker: Worker) -> None:
    now = shard.now()
    worker.deadline_ms = now + worker.lease_ms
    if shard.alive_ms is not None and now - shard.alive_ms > worker.lease_ms // 2:
        # Nobody could renew anything: the storage was out of reach, so silence says nothing of a worker.
        shard.hold_ms = now + worker.lease_ms
    shard.alive_ms = now


def _first_expired(shard: Shard) -> str | None:
    """The worker whose lease ran out first; None if none's has."""
    now = shard.now()
    expired = [(entry.deadline_ms, name) for name, entry in shard.workers.items() if entry.deadline_ms <= now]
    return min(expired)[1] if expired else None


def reap(shard: Shard, worker_id: str | None, limit: int) -> ReapReply:
    """Take back leases of the worker named, or of the one whose lease ran out first."""
    reply = ReapReply(recovered=[], failed=[], cancelled=[], more=False)
    dead = worker_id
    if dead is None:
        if shard.now() < shard.hold_ms:
            return reply
        dead = _first_expired(shard)
    worker = shard.workers.get(dead) if dead is not None else None
    if dead is None or worker is None:
        return reply

    worker.reaping = True
    suspect = worker.suspect
    for job_id in list(islice(sorted(worker.leases), limit)):
        _take_back(shard, dead, job_id, reply, was_suspect=job_id == suspect)
    conclude(shard)
    if worker.leases:
        reply.more = True
    else:
        del shard.workers[dead]
        reply.more = worker_id is None and _first_expired(shard) is not None
    return reply


def _take_back(shard: Shard, dead: str, job_id: str, reply: ReapReply, *, was_suspect: bool) -> None:
    job = shard.jobs[job_id]
    if was_suspect:
        job.deaths += 1
    if job.cancel_requested:
        shard.record(job, "cancelled", worker=dead)
        shard.end(job, State.CANCELLED)
        reply.cancelled.append(job_id)
    elif job.deaths >= job.max_recoveries:
        message = f"its worker died {job.deaths} times while this was its only suspect"
        shard.record(job, "poisoned", worker=dead, error=pack_error("WorkerDied", message, ""))
        shard.end(job, State.FAILED)
        reply.failed.append(job_id)
    else:
        job.recoveries += 1
        shard.count("recovered")
        shard.record(job, "recovered", worker=dead)
        shard.enqueue(job, suspect=True)
        shard.put_marker(job.queue)
        reply.recovered.append(job_id)


def command(shard: Shard, worker_id: str, command: str) -> bool:
    """Leave a command for a worker."""
    worker = shard.workers.get(worker_id)
    if worker is None:
        return False
    worker.command = command
    shard.nudge(worker)
    return True


class MemoryHeartbeatLink:
    """A worker's lease on one shard. See `HeartbeatLink`."""

    def __init__(self, shard: Shard, worker_id: str) -> None:
        self._shard = shard
        self._worker = worker_id
        self._closed = False

    def wait(self, timeout: float) -> bool:
        """Wait for a message to the worker. See `HeartbeatLink.wait`."""
        with self._shard.lock:
            self._shard.lock.wait_for(lambda: self._closed or self._nudged(), timeout)
            worker = self._nudged()
            if self._closed or worker is None:
                return False
            worker.nudged = False
            return True

    def _nudged(self) -> Worker | None:
        worker = self._shard.workers.get(self._worker)
        return worker if worker and worker.nudged else None

    def beat(self, held: int, info: dict[str, object] | None = None) -> HeartbeatReply:
        """Renew the lease. See `HeartbeatLink.beat`."""
        with self._shard.lock:
            return beat(self._shard, self._worker, held, info)

    def close(self) -> None:
        """End a `wait` at once."""
        with self._shard.lock:
            self._closed = True
            self._shard.lock.notify_all()
