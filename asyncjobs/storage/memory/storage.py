"""`MemoryStorage`: the storage contract over plain Python objects."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack

from asyncjobs.clock import Clock, system_clock
from asyncjobs.errors import OptionError
from asyncjobs.ids import MAX_SHARDS, shard_of
from asyncjobs.storage.audit import Finding, Mending, Snapshot
from asyncjobs.storage.base import (
    BatchRecord,
    Bucket,
    Cancelled,
    Conflict,
    Created,
    Deleted,
    ExchangeReply,
    ExchangeRequest,
    HeartbeatLink,
    HistoryEntry,
    JobRecord,
    LogLine,
    Members,
    Moved,
    NewBatch,
    NewJob,
    Note,
    Opened,
    Page,
    QueueRecord,
    ReapReply,
    Requeued,
    Retention,
    ServerRecord,
    State,
    Stats,
    WorkerRecord,
)
from asyncjobs.storage.memory import batches as batching
from asyncjobs.storage.memory import by_hand, leases, reading
from asyncjobs.storage.memory import exchange as exchanging
from asyncjobs.storage.memory import retention as trimming
from asyncjobs.storage.memory.follow_up import conclude
from asyncjobs.storage.memory.locks import MemoryLocks
from asyncjobs.storage.memory.mending import mend
from asyncjobs.storage.memory.recurrences import MemoryRecurrences
from asyncjobs.storage.memory.shard import Shard
from asyncjobs.storage.memory.snapshot import snapshot
from asyncjobs.storage.memory.throttling import MemoryLimits


class MemoryStorage(MemoryLocks, MemoryLimits, MemoryRecurrences):
    """A storage in this process's memory: for unit tests, and to say precisely what any storage does.

    Clients and workers that share one object share its jobs, from any thread and any event loop; nothing
    outlives the object. Every method is described at `Storage`.

    `shards`: how many parts the namespace has (1 to 62, default 1). `clock`: where its time comes from, as
    milliseconds since 1970 (default: this machine's clock); a test moves it by hand. Time-outs of waiting
    calls are real time nevertheless. Raises `OptionError` for a number of shards that can't be.
    """

    def __init__(self, shards: int = 1, clock: Clock = system_clock) -> None:
        if not 1 <= shards <= MAX_SHARDS:
            raise OptionError(f"shards must be from 1 to {MAX_SHARDS}, not {shards}")
        self._shards = [Shard(clock) for _ in range(shards)]

    def _shard_of(self, job_id: str) -> Shard:
        return self._shards[shard_of(job_id, len(self._shards))]

    @property
    def shards(self) -> int:
        """How many parts the namespace has."""
        return len(self._shards)

    async def open(self) -> None:
        """There is nothing to connect to."""
        for shard in self._shards:
            with shard.lock:
                if shard.alive_ms is None:
                    shard.alive_ms = shard.now()

    async def close(self) -> None:
        """The jobs stay for as long as the object does."""

    # -- jobs --

    async def create(self, jobs: Sequence[NewJob]) -> list[Created | Conflict]:
        """See `Storage.create`."""
        created: list[Created | Conflict] = []
        with self._all_locked():
            queues = {shard: set[str]() for shard in self._shards}
            for job in jobs:
                shard = self._shard_of(job.id)
                created.append(by_hand.create(shard, job, len(self._shards), queues[shard]))
            for shard in self._shards:
                conclude(shard, queues[shard])
        return created

    async def cancel(self, job_id: str, request_id: str) -> Cancelled:
        """See `Storage.cancel`."""
        with (shard := self._shard_of(job_id)).lock:
            return by_hand.cancel(shard, job_id, request_id)

    async def requeue(self, job_id: str, request_id: str) -> Requeued:
        """See `Storage.requeue`."""
        with (shard := self._shard_of(job_id)).lock:
            return by_hand.requeue(shard, job_id, request_id)

    async def promote(self, job_id: str, request_id: str) -> Requeued:
        """See `Storage.promote`."""
        with (shard := self._shard_of(job_id)).lock:
            return by_hand.promote(shard, job_id, request_id)

    async def move(self, job_id: str, queue: str) -> Moved:
        """See `Storage.move`."""
        with (shard := self._shard_of(job_id)).lock:
            return by_hand.move(shard, job_id, queue)

    async def delete(self, job_id: str, request_id: str = "") -> Deleted:
        """See `Storage.delete`."""
        with (shard := self._shard_of(job_id)).lock:
            return by_hand.delete(shard, job_id, request_id)

    async def get(self, job_id: str) -> JobRecord | None:
        """See `Storage.get`."""
        with (shard := self._shard_of(job_id)).lock:
            job = shard.jobs.get(job_id)
            return reading.record_of(job) if job else None

    async def history(self, job_id: str) -> list[HistoryEntry]:
        """See `Storage.history`."""
        with (shard := self._shard_of(job_id)).lock:
            job = shard.jobs.get(job_id)
            return list(job.past) if job else []

    async def logs(self, job_id: str) -> list[LogLine]:
        """See `Storage.logs`."""
        with (shard := self._shard_of(job_id)).lock:
            job = shard.jobs.get(job_id)
            return list(job.log) if job else []

    async def jobs(
        self,
        state: State,
        *,
        queue: str | None = None,
        offset: int = 0,
        limit: int = 50,
        newest_first: bool = False,
    ) -> Page:
        """See `Storage.jobs`. Over several shards, each queue's jobs come shard by shard."""
        with self._all_locked():
            return reading.jobs(self._shards, state, queue, offset, limit, newest_first)

    async def held(self, worker: str, *, limit: int = 50) -> Page:
        """See `Storage.held`."""
        with self._all_locked():
            return reading.held(self._shards, worker, limit)

    async def annotate(self, worker: str, notes: Sequence[Note]) -> None:
        """See `Storage.annotate`."""
        for note in notes:
            with (shard := self._shard_of(note.id)).lock:
                exchanging.annotate(shard, worker, note)

    # -- batches, and what follows --

    async def open_batches(self, batches: Sequence[NewBatch]) -> Opened:
        """See `BatchStorage.open_batches`."""
        with (shard := self._shard_of(batches[0].id)).lock:
            return batching.open_batches(shard, batches)

    async def commit_batch(self, batch_id: str) -> Opened:
        """See `BatchStorage.commit_batch`."""
        with (shard := self._shard_of(batch_id)).lock:
            return batching.commit_batch(shard, batch_id)

    async def cancel_batch(self, batch_id: str) -> Opened:
        """See `BatchStorage.cancel_batch`."""
        with (shard := self._shard_of(batch_id)).lock:
            return batching.cancel_batch(shard, batch_id)

    async def get_batch(self, batch_id: str) -> BatchRecord | None:
        """See `BatchStorage.get_batch`."""
        return await self.watch_batch(batch_id, "")

    async def watch_batch(self, batch_id: str, inbox: str) -> BatchRecord | None:
        """See `BatchStorage.watch_batch`."""
        with (shard := self._shard_of(batch_id)).lock:
            return batching.watch_batch(shard, batch_id, inbox)

    async def continuations(self, node: str, *, offset: int = 0, limit: int = 50) -> Members:
        """See `BatchStorage.continuations`."""
        with (shard := self._shard_of(node)).lock:
            return batching.continuations(shard, node, offset, limit)

    async def members(self, batch_id: str, *, offset: int = 0, limit: int = 50) -> Members:
        """See `BatchStorage.members`."""
        with (shard := self._shard_of(batch_id)).lock:
            return batching.members(shard, batch_id, offset, limit)

    async def batches(self, *, offset: int = 0, limit: int = 50) -> list[BatchRecord]:
        """See `BatchStorage.batches`."""
        with self._all_locked():
            return batching.batches(self._shards, offset, limit)

    async def carry_on(self, shard: int) -> bool:
        """See `BatchStorage.carry_on`."""
        with self._all_locked():
            return batching.carry_on(self._shards, shard)

    async def snapshot(self, shard: int) -> Snapshot:
        """See `AuditStorage.snapshot`."""
        with (part := self._shards[shard]).lock:
            return snapshot(part, len(self._shards))

    async def mend(self, shard: int, finding: Finding, *, apply: bool = True) -> Mending | None:
        """See `AuditStorage.mend`."""
        with (part := self._shards[shard]).lock:
            return mend(part, finding, apply=apply)

    async def mend_recurring(
        self, shard: int, finding: Finding, revision: str, timing: str, next_ms: int | None, *, apply: bool
    ) -> Mending | None:
        """See `AuditStorage.mend_recurring`. Here its definition can't be there without the rest."""
        return None

    async def sweep_batches(self, shard: int) -> bool:
        """See `BatchStorage.sweep_batches`."""
        with (part := self._shards[shard]).lock:
            batching.sweep_batches(part)
        return False

    # -- waiting for a job's end --

    async def watch(self, job_id: str, inbox: str) -> JobRecord | None:
        """See `Storage.watch`."""
        with (shard := self._shard_of(job_id)).lock:
            job = shard.jobs.get(job_id)
            if job is None:
                return None
            if not job.state.is_final and inbox not in job.inboxes:
                job.inboxes.append(inbox)
            return reading.record_of(job)

    async def receive(self, shard: int, inbox: str, timeout: float) -> list[str]:
        """See `Storage.receive`."""
        inboxes = self._shards[shard].inboxes
        return await self._shards[shard].wait_for(lambda: inboxes.pop(inbox, None), timeout) or []

    # -- running jobs --

    async def register(self, shard: int, worker: str, info: dict[str, object], lease_ms: int) -> int:
        """See `Storage.register`."""
        with (part := self._shards[shard]).lock:
            return leases.register(part, worker, info, lease_ms)

    async def unregister(self, shard: int, worker: str) -> bool:
        """See `Storage.unregister`."""
        with (part := self._shards[shard]).lock:
            return leases.unregister(part, worker)

    def heartbeat_link(self, shard: int, worker: str, lease_ms: int) -> HeartbeatLink:
        """See `Storage.heartbeat_link`. The lease lasts as long as `register` was told."""
        return leases.MemoryHeartbeatLink(self._shards[shard], worker)

    async def exchange(self, shard: int, request: ExchangeRequest) -> ExchangeReply:
        """See `Storage.exchange`."""
        with (part := self._shards[shard]).lock:
            return exchanging.exchange(part, request)

    async def wait_for_work(self, shard: int, queues: Sequence[str], timeout: float) -> str | None:
        """See `Storage.wait_for_work`."""
        part = self._shards[shard]

        def take() -> str | None:
            for name in queues:
                queue = part.queues.get(name)
                if queue is not None and queue.marker:
                    queue.marker = False
                    return name
            return None

        return await part.wait_for(take, timeout)

    async def reap(self, shard: int, worker: str | None = None, *, limit: int = 100) -> ReapReply:
        """See `Storage.reap`."""
        with (part := self._shards[shard]).lock:
            return leases.reap(part, worker, limit)

    async def command(self, worker: str, command: str) -> bool:
        """See `Storage.command`."""
        with self._all_locked():
            told = [leases.command(shard, worker, command) for shard in self._shards]
        return any(told)

    # -- queues and lists --

    async def pause(self, queue: str) -> None:
        """See `Storage.pause`."""
        with self._all_locked():
            for shard in self._shards:
                by_hand.pause(shard, queue)

    async def resume(self, queue: str) -> None:
        """See `Storage.resume`."""
        with self._all_locked():
            for shard in self._shards:
                by_hand.resume(shard, queue)

    async def purge(self, shard: int, queue: str, limit: int) -> tuple[int, bool]:
        """See `Storage.purge`."""
        with (part := self._shards[shard]).lock:
            return by_hand.purge(part, queue, limit)

    async def clear(self, shard: int, state: State, limit: int) -> tuple[int, bool]:
        """See `Storage.clear`."""
        with (part := self._shards[shard]).lock:
            return by_hand.clear(part, state, limit)

    async def trim(self, shard: int, retention: Retention, limit: int) -> bool:
        """See `Storage.trim`."""
        with (part := self._shards[shard]).lock:
            return trimming.trim(part, retention, limit)

    async def queues(self) -> list[QueueRecord]:
        """See `Storage.queues`."""
        with self._all_locked():
            return reading.queues(self._shards)

    async def workers(self) -> list[WorkerRecord]:
        """See `Storage.workers`."""
        with self._all_locked():
            return reading.workers(self._shards)

    async def throughput(self, unit_ms: int, count: int) -> list[Bucket]:
        """See `QueueStorage.throughput`."""
        with self._all_locked():
            return reading.throughput(self._shards, unit_ms, count)

    async def server(self) -> ServerRecord:
        """See `QueueStorage.server`."""
        return ServerRecord("memory")

    async def stats(self) -> Stats:
        """See `Storage.stats`."""
        with self._all_locked():
            return reading.stats(self._shards)

    def _all_locked(self) -> ExitStack:
        locks = ExitStack()
        for shard in self._shards:
            locks.enter_context(shard.lock)
        return locks
