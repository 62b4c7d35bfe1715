"""Looking at jobs, queues and workers, and controlling them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from datetime import timedelta
from typing import Any, Literal, TypeVar, overload

from asyncjobs import checking
from asyncjobs.definition import Definition
from asyncjobs.errors import JobNotFound, JobStateError, OptionError, UnknownJob, WrongDefinition
from asyncjobs.ids import new_id
from asyncjobs.job import Job
from asyncjobs.middleware import EnqueueMiddleware, all_checked
from asyncjobs.monitoring import LockInfo, NamespaceStats, QueueInfo, ServerInfo, Throughput, WorkerInfo
from asyncjobs.options import check_queue_name, to_ms
from asyncjobs.registry import Registry
from asyncjobs.results import ResultWaiter, outcome
from asyncjobs.serialization import RESULT, Serializer, marks_of, mask, unpack_call
from asyncjobs.storage.audit import Finding, Mending
from asyncjobs.storage.base import Cancelled, Deleted, JobRecord, Moved, Requeued, State, Storage

R = TypeVar("R")

SWEEP = 500
"""Jobs that one step of a purge removes."""
_NO_REGISTRY = Registry()


class Control:
    """What `Client` does with what is in a storage."""

    def __init__(
        self, storage: Storage, registry: Registry | None, middleware: Iterable[EnqueueMiddleware] = ()
    ) -> None:
        self.registry = registry
        self.storage: Storage = storage
        """The storage that it speaks to; for extensions and tests."""
        self._own_middleware = all_checked(middleware)
        self.middleware: tuple[EnqueueMiddleware, ...] = ()
        """What everything that it enqueues passes through, outermost first."""
        self._gather_middleware()
        self.waiter = ResultWaiter(storage)

    def _gather_middleware(self) -> None:
        registered = () if self.registry is None else self.registry.client_middleware
        self.middleware = (*registered, *self._own_middleware)

    # -- one job --

    @overload
    async def get(self, job_id: str, definition: Definition[..., R], /) -> Job[R] | None: ...
    @overload
    async def get(self, job_id: str, /) -> Job[Any] | None: ...
    async def get(self, job_id: str, definition: Definition[..., Any] | None = None, /) -> Job[Any] | None:
        """The job of an id, or None.

        With a definition, its result has a type; another's job raises `WrongDefinition`.
        """
        record = await self.storage.get(job_id)
        if record is None:
            return None
        if definition is not None and record.name not in (definition.name, *definition.aliases):
            raise WrongDefinition(f"job {job_id} is a {record.name}, not a {definition.name}")
        return Job(self, record, definition or self._definition_of(record))

    async def read(self, job_id: str) -> JobRecord:
        """The stored record of a job. Raises `JobNotFound`."""
        record = await self.storage.get(job_id)
        if record is None:
            raise _not_found(job_id)
        return record

    async def cancel(self, job_id: str, /) -> bool:
        """Cancel a job, waiting or running. False if it had ended already.

        A running one is told at once and ends when its code lets the cancellation through; until then it is
        `processing` with `cancel_requested`. Raises `JobNotFound`.
        """
        told = await self.storage.cancel(job_id, _request_id())
        if told is Cancelled.MISSING:
            raise _not_found(job_id)
        return told is not Cancelled.FINAL

    async def requeue(self, job_id: str, /) -> None:
        """Enqueue a job again that has succeeded, failed or was cancelled, with all its retries before it.

        Raises `JobStateError` if it has not ended, or another job holds its unique key; and `JobNotFound`.
        """
        await self._again(job_id, await self.storage.requeue(job_id, _request_id()), "it has not ended")

    async def run_now(self, job_id: str, /) -> None:
        """Enqueue a scheduled or retrying job without waiting for its time.

        Raises `JobStateError`, `JobNotFound`.
        """
        await self._again(job_id, await self.storage.promote(job_id, _request_id()), "it waits for no time")

    async def _again(self, job_id: str, told: Requeued, why: str) -> None:
        if told is Requeued.MISSING:
            raise _not_found(job_id)
        if told is Requeued.BATCH_CANCELLED:
            raise JobStateError(
                f"job {job_id} is a member of a cancelled batch, which nothing starts in any more"
            )
        if told is Requeued.NOT_UNIQUE:
            raise JobStateError(f"job {job_id} can't be requeued: another job holds its unique key by now")
        if told is Requeued.WRONG_STATE:
            record = await self.read(job_id)
            by = f" by limit {record.throttled_by}" if record.throttled_by else ""
            raise JobStateError(f"job {job_id} is {record.state}{by}: {why}")

    async def delete(self, job_id: str, /) -> None:
        """Remove a job with its history.

        Raises `JobStateError` if it is running (cancel it first), and `JobNotFound`.
        """
        told = await self.storage.delete(job_id, _request_id())
        if told is Deleted.MISSING:
            raise _not_found(job_id)
        if told is Deleted.RUNNING:
            raise JobStateError(f"job {job_id} is running: cancel it first, and delete it when it has ended")

    async def move(self, job_id: str, queue: str, /) -> None:
        """Have a job run from another queue; one that is enqueued goes to the tail of that.

        One that is throttled waits for its limits there; one that is scheduled, retrying or awaiting comes
        there when it is due, and one that has ended when it is requeued. Its priority stays.
        Raises `JobStateError` if it is running, `JobNotFound` and `OptionError`.
        """
        told = await self.storage.move(job_id, check_queue_name(queue))
        if told is Moved.MISSING:
            raise _not_found(job_id)
        if told is Moved.RUNNING:
            raise JobStateError(f"job {job_id} is running, and can't be moved")

    # -- queues, lists, numbers --

    async def pause(self, queue: str, /) -> None:
        """Let no job of a queue start any more; those that run go on, and jobs can be added."""
        await self.storage.pause(check_queue_name(queue))

    async def resume(self, queue: str, /) -> None:
        """Undo `pause`."""
        await self.storage.resume(check_queue_name(queue))

    async def purge(self, queue: str, /) -> int:
        """Delete the jobs that are enqueued in a queue now; how many they were."""
        lengths = {record.name: record.length for record in await self.storage.queues()}
        return await self._sweep(
            lambda shard, most: self.storage.purge(shard, queue, most), lengths.get(queue, 0)
        )

    async def clear(self, state: State | str, /) -> int:
        """Delete the jobs that are in a state now, other than enqueued and processing; how many they were."""
        state = State(state)
        total = (await self.storage.jobs(state, limit=0)).total
        return await self._sweep(lambda shard, most: self.storage.clear(shard, state, most), total)

    async def _sweep(self, step: Callable[[int, int], Awaitable[tuple[int, bool]]], total: int) -> int:
        """Repeat a removing step on every shard, but not for ever if others add as fast as it removes."""
        deleted = 0
        for shard in range(self.storage.shards):
            more = True
            while more and deleted < total:
                some, more = await step(shard, min(SWEEP, total - deleted))
                deleted += some
        return deleted

    async def jobs(
        self,
        state: State | str,
        /,
        *,
        queue: str | None = None,
        offset: int = 0,
        limit: int = 50,
        newest_first: bool = False,
    ) -> list[Job[Any]]:
        """A page of the jobs in a state.

        Enqueued ones come in the order they'll run, waiting ones by due time, ended ones by when they ended.
        """
        page = await self.storage.jobs(
            State(state), queue=queue, offset=offset, limit=limit, newest_first=newest_first
        )
        return [Job(self, record, self._definition_of(record)) for record in page.jobs]

    async def count(self, state: State | str, /) -> int:
        """How many jobs are in a state."""
        return (await self.storage.jobs(State(state), limit=0)).total

    async def queues(self) -> list[QueueInfo]:
        """All queues that were ever used, by name."""
        return list((await self.stats()).queues)

    async def workers(self) -> list[WorkerInfo]:
        """All workers whose lease hasn't been taken back, by id."""
        return [WorkerInfo.of(record) for record in await self.storage.workers()]

    async def held(self, worker: str, /, *, limit: int = 100) -> list[JobRecord]:
        """The jobs that a worker runs: the first `limit` by id. Of a worker that isn't there, none."""
        return (await self.storage.held(worker, limit=limit)).jobs

    async def locks(self, *, offset: int = 0, limit: int = 50) -> list[LockInfo]:
        """A page of the locks that are held now, those that run out first before the others.

        Those of background processes with `scope="cluster"` are among them.
        """
        return [LockInfo.of(record) for record in await self.storage.locks(offset=offset, limit=limit)]

    async def get_lock(self, name: str, /) -> LockInfo | None:
        """Who holds a lock; None if nobody does."""
        record = await self.storage.get_lock(name)
        return None if record is None else LockInfo.of(record)

    async def break_lock(self, name: str, /, *, holder: str | None = None) -> bool:
        """Take a lock away from whoever holds it, and let the next one have it. False if it wasn't held.

        Its holder learns of it with its next renewal, within a quarter of its `ttl`, and goes on until then:
        so this is for a holder that is known to be dead or stuck. With a `holder` (as in `LockInfo`), only if
        that still has it.
        """
        record = await self.storage.get_lock(name)
        if record is None or (holder is not None and record.holder != holder):
            return False
        # By its token, so that this can be sent twice, and takes it from nobody who got it meanwhile.
        await self.storage.release_lock(name, record.holder)
        return True

    async def stats(self) -> NamespaceStats:
        """Counts by state, totals, queues."""
        return NamespaceStats.of(await self.storage.stats())

    async def throughput(self, unit: Literal["hour", "day"] = "hour", count: int = 24) -> list[Throughput]:
        """What happened in each of the last hours (168 at most) or days (366), by UTC, oldest first."""
        most = 168 if unit == "hour" else 366
        if not 1 <= count <= most:
            raise OptionError(f"count must be from 1 to {most}, not {count}")
        unit_ms = 3_600_000 if unit == "hour" else 86_400_000
        return [Throughput.of(bucket) for bucket in await self.storage.throughput(unit_ms, count)]

    async def server(self) -> ServerInfo:
        """The server behind the namespace: its version and memory."""
        return ServerInfo.of(await self.storage.server())

    async def check(self, pause: float = 1.0) -> list[Finding]:
        """Look for contradictions in the namespace: jobs that aren't where their state says, wrong counters,
        leases without a worker, continuations that wait in vain, keys that hold something else (see
        `asyncjobs.storage.audit.KINDS`).

        It may be done while everything runs: what is found is looked at again, three times in all with
        `pause` seconds between, and only what is found the same each time is told. It reads everything, so it
        takes its time with a large namespace. It changes nothing.
        """
        return await checking.check(self.storage, pause)

    async def repair(self, pause: float = 1.0) -> list[Mending]:
        """Mend what `check` finds: what was found, and what was done about each (or has to be, by a person).

        It may be done while everything runs, again and again, and from several places at once: each thing is
        looked at once more in the same step that mends it. A repaired job's history says so.
        """
        return await checking.repair(self.storage, pause)

    async def command(self, worker: str, command: str) -> None:
        """Tell a worker to be `quiet` (take no new jobs) or to `stop`.

        Raises `OptionError` or `JobNotFound`.
        """
        if command not in ("quiet", "stop"):
            raise OptionError(f"a worker can be told 'quiet' or 'stop', not {command!r}")
        if not await self.storage.command(worker, command):
            raise JobNotFound(f"there is no worker {worker}")

    # -- results --

    async def wait_for_end(self, job_id: str, timeout: timedelta | float | None) -> JobRecord:
        """The record of a job once it has ended. Raises `ResultTimeout` or `JobNotFound`."""
        seconds = None if timeout is None else to_ms(timeout, "the time-out") / 1000
        return await self.waiter.wait(job_id, seconds)

    async def outcome(self, record: JobRecord, definition: Definition[..., R] | None) -> R:
        """What an ended job returned; raises `JobFailed`, `JobCancelled` or `ResultNotKept`."""
        value: R = await outcome(self.storage, record, self._serializer_for(record, definition))
        return value

    def unpack_arguments(
        self, record: JobRecord, *, masked: bool = False
    ) -> tuple[list[Any], dict[str, Any]]:
        """The arguments of a job; `masked`: with dots in place of what is secret.

        Raises `SerializationError`.
        """
        serializer = self._serializer_for(record, None)
        args, kwargs = unpack_call(serializer, record.payload)
        return mask(args, kwargs, marks_of(serializer, record.payload)) if masked else (args, kwargs)

    def hides_result(self, record: JobRecord) -> bool:
        """Whether what a job returned is secret. Raises `SerializationError` if its payload can't be read."""
        return RESULT in marks_of(self._serializer_for(record, None), record.payload)

    def _definition_of(self, record: JobRecord) -> Definition[..., Any] | None:
        if self.registry is None:
            return None
        try:
            return self.registry.get(record.name)
        except UnknownJob:
            return None

    def _serializer_for(self, record: JobRecord, definition: Definition[..., Any] | None) -> Serializer:
        definition = definition or self._definition_of(record)
        if definition is not None:
            return definition.registry.serializer
        return (self.registry or _NO_REGISTRY).serializer


def _request_id() -> str:
    return new_id()[11:19]


def _not_found(job_id: str) -> JobNotFound:
    return JobNotFound(
        f"there is no job {job_id}: it was never created, was deleted, or is past its retention"
    )
