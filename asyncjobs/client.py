"""The client: creates jobs, looks at them, controls them."""

from __future__ import annotations

import os
from collections.abc import AsyncIterable, Awaitable, Callable, Coroutine, Iterable
from datetime import datetime, timedelta
from types import TracebackType
from typing import Any, Literal, ParamSpec, Self, TypeVar, cast, overload

from asyncjobs.chunks import send_in_chunks
from asyncjobs.clock import system_clock
from asyncjobs.definition import Definition
from asyncjobs.errors import (
    JobNotFound,
    JobStateError,
    OptionError,
    UnknownJob,
    WrongDefinition,
)
from asyncjobs.ids import new_id
from asyncjobs.job import Call, Job
from asyncjobs.monitoring import NamespaceStats, QueueInfo, WorkerInfo
from asyncjobs.options import check_queue_name, epoch_ms, to_ms
from asyncjobs.registry import Registry
from asyncjobs.results import ResultWaiter, outcome
from asyncjobs.serialization import Serializer, unpack_call
from asyncjobs.storage.base import Cancelled, Deleted, JobRecord, NewJob, Requeued, State, Storage
from asyncjobs.storage.redis import RedisStorage

P = ParamSpec("P")
R = TypeVar("R")

DEFAULT_URL = "redis://localhost:6379/0"
CHUNK = 250
"""Jobs that `enqueue_many` sends at a time."""
CHUNKS_UNDER_WAY = 4
SWEEP = 500
"""Jobs that one step of a purge removes."""


class Client:
    """A connection to a namespace: `async with Client("redis://localhost:6379/0") as client: …`.

    * `url`: `redis://`, `rediss://` (TLS), `unix://`, `redis+sentinel://host:port/service`, `redis+cluster://host:port`.
      Default: the environment's `ASYNCJOBS_REDIS`, else `redis://localhost:6379/0`. A `Storage` may be given
      instead.
    * `registry`: by which results and arguments of jobs that aren't known by their definition are read.
    * `namespace`: the beginning of all its keys; different ones know nothing of each other.
    * `shards`: over how many parts the namespace is spread; more than 1 only makes sense with Redis Cluster,
      and every client and worker of a namespace must say the same.
    * `patience`: seconds for which a request is sent again while Redis can't be reached (default 10) before
      `StorageUnavailable` is raised.
    * `durability`: `"server"` (default): a created job is as safe as the server's own settings make it;
      `"replicated"`: creating waits until a replica has it too (Redis' `WAIT`), or raises `NotReplicated`.

    It may be used by any number of tasks of one event loop. Calls that are made at the same time travel
    together.
    """

    def __init__(
        self,
        url: str | Storage | None = None,
        *,
        registry: Registry | None = None,
        namespace: str = "asyncjobs",
        shards: int = 1,
        patience: timedelta | float = 10.0,
        durability: Literal["server", "replicated"] = "server",
    ) -> None:
        self.registry = registry
        if url is None:
            url = os.environ.get("ASYNCJOBS_REDIS") or DEFAULT_URL
        if isinstance(url, str):
            seconds = to_ms(patience, "patience") / 1000
            replicas = 1 if durability == "replicated" else 0
            url = RedisStorage(url, namespace=namespace, shards=shards, patience=seconds, replicas=replicas)
        self.storage: Storage = url
        """The storage that it speaks to; for extensions and tests."""
        self._waiter = ResultWaiter(url)
        self._next_shard = 0
        self._users = 0

    async def __aenter__(self) -> Self:
        await self.open()
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        await self.close()

    async def open(self) -> None:
        """Connect.

        Raises `StorageUnavailable`, `StorageError` or `SchemaMismatch`. Each `open` needs a `close`.
        """
        self._users += 1
        try:
            await self.storage.open()
        except BaseException:
            self._users -= 1
            raise

    async def close(self) -> None:
        """Send what is under way, and disconnect."""
        self._users -= 1
        if self._users <= 0:
            self._users = 0
            await self._waiter.close()
            await self.storage.close()

    # -- enqueueing --

    @overload
    async def enqueue(self, fn: Definition[P, R], /, *args: P.args, **kwargs: P.kwargs) -> Job[R]: ...
    @overload
    async def enqueue(self, call: Call[R], /) -> Job[R]: ...
    async def enqueue(self, what: Any, /, *args: Any, **kwargs: Any) -> Job[Any]:
        """Create a job that runs as soon as a worker is free: `enqueue(send_email, to, subject="Hi")`.

        Takes a definition and its arguments, or a `Call`. When it returns, the job is in the storage. Raises
        `CallError`, `SerializationError`, `PayloadTooLarge`, `StorageFull`, `StorageUnavailable`.
        """
        return await self._submit(_call(what, args, kwargs))

    @overload
    async def enqueue_in(
        self, delay: timedelta | float, fn: Definition[P, R], /, *args: P.args, **kwargs: P.kwargs
    ) -> Job[R]: ...
    @overload
    async def enqueue_in(self, delay: timedelta | float, call: Call[R], /) -> Job[R]: ...
    async def enqueue_in(self, delay: timedelta | float, what: Any, /, *args: Any, **kwargs: Any) -> Job[Any]:
        """Create a job that runs after a delay (a `timedelta` or seconds), counted by the storage's clock."""
        return await self._submit(_call(what, args, kwargs), delay_ms=to_ms(delay, "the delay"))

    @overload
    async def enqueue_at(
        self, when: datetime, fn: Definition[P, R], /, *args: P.args, **kwargs: P.kwargs
    ) -> Job[R]: ...
    @overload
    async def enqueue_at(self, when: datetime, call: Call[R], /) -> Job[R]: ...
    async def enqueue_at(self, when: datetime, what: Any, /, *args: Any, **kwargs: Any) -> Job[Any]:
        """Create a job that runs at a time, by the storage's clock.

        A past time means now; a naive one is an `OptionError`.
        """
        return await self._submit(_call(what, args, kwargs), due_ms=epoch_ms(when, "the time to run at"))

    async def enqueue_many(self, calls: Iterable[Call[R]] | AsyncIterable[Call[R]], /) -> list[Job[R]]:
        """Create many jobs: `enqueue_many(resize.call(path) for path in paths)`. Also from an async iterable.

        They are sent in chunks while the iterable goes on, so it may be of any length. Each chunk is there or
        isn't; if the iterable raises, the chunks before that are there. (A batch creates all or none.)
        """
        jobs: list[Job[R]] = []

        def create(chunk: list[Call[R]]) -> Coroutine[Any, Any, object]:
            for call in chunk:
                if not isinstance(cast(object, call), Call):
                    raise OptionError(f"{call!r} isn't a call: give what `.call(…)` of a job returns")
            new = [self._new_job(call) for call in chunk]
            jobs.extend(self._job(job, call.definition) for job, call in zip(new, chunk, strict=True))
            return self.storage.create(new)

        await send_in_chunks(calls, CHUNK, CHUNKS_UNDER_WAY, create)
        return jobs

    def _new_job(self, call: Call[Any], delay_ms: int = 0, due_ms: int = 0) -> NewJob:
        definition = call.definition
        settings = definition.settings
        shards = self.storage.shards
        shard = 0
        if shards > 1:
            shard = self._next_shard
            self._next_shard = (shard + 1) % shards
        return NewJob(
            new_id(shard),
            definition.name,
            settings.queue,
            call.payload,
            settings.priority,
            delay_ms,
            due_ms,
            definition.overrides,
            settings.max_recoveries,
        )

    def _job(self, new: NewJob, definition: Definition[..., R]) -> Job[R]:
        later = new.delay_ms > 0 or new.due_ms > system_clock()
        state = State.SCHEDULED if later else State.ENQUEUED
        record = JobRecord(new.id, new.name, new.queue, state, new.payload, new.options, new.priority)
        return Job(self, record, definition)

    async def _submit(self, call: Call[R], delay_ms: int = 0, due_ms: int = 0) -> Job[R]:
        new = self._new_job(call, delay_ms, due_ms)
        await self.storage.create((new,))
        return self._job(new, call.definition)

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

        Raises `JobStateError` if it has not ended, and `JobNotFound`.
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
        if told is Requeued.WRONG_STATE:
            record = await self.read(job_id)
            raise JobStateError(f"job {job_id} is {record.state}: {why}")

    async def delete(self, job_id: str, /) -> None:
        """Remove a job with its history.

        Raises `JobStateError` if it is running (cancel it first), and `JobNotFound`.
        """
        told = await self.storage.delete(job_id, _request_id())
        if told is Deleted.MISSING:
            raise _not_found(job_id)
        if told is Deleted.RUNNING:
            raise JobStateError(f"job {job_id} is running: cancel it first, and delete it when it has ended")

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
        """Delete the jobs that are scheduled, retrying, succeeded, failed or cancelled now; how many."""
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

    async def stats(self) -> NamespaceStats:
        """Counts by state, totals, queues."""
        return NamespaceStats.of(await self.storage.stats())

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
        return await self._waiter.wait(job_id, seconds)

    async def outcome(self, record: JobRecord, definition: Definition[..., R] | None) -> R:
        """What an ended job returned; raises `JobFailed`, `JobCancelled` or `ResultNotKept`."""
        value: R = await outcome(self.storage, record, self._serializer_for(record, definition))
        return value

    def unpack_arguments(self, record: JobRecord) -> tuple[list[Any], dict[str, Any]]:
        """The arguments of a job. Raises `SerializationError`."""
        return unpack_call(self._serializer_for(record, None), record.payload)

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


_NO_REGISTRY = Registry()


def _call(what: Definition[..., Any] | Call[Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Call[Any]:
    if isinstance(what, Definition):
        return what.call(*args, **kwargs)
    if not isinstance(cast(object, what), Call):
        raise OptionError(f"{what!r} isn't a job: declare the function with @registry.job and enqueue that")
    if args or kwargs:
        raise OptionError("a Call has its arguments already: give it alone")
    return what


def _request_id() -> str:
    return new_id()[11:19]


def _not_found(job_id: str) -> JobNotFound:
    return JobNotFound(
        f"there is no job {job_id}: it was never created, was deleted, or is past its retention"
    )
