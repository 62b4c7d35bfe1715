"""The client for code that isn't async: scripts, Django views, plain functions that run as jobs."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Generator, Iterable, Sequence
from contextlib import AbstractContextManager, contextmanager
from datetime import datetime, timedelta
from types import TracebackType
from typing import Any, Literal, ParamSpec, Self, TypeVar, cast, overload

from anyio.from_thread import BlockingPortal, start_blocking_portal

from asyncjobs.batch_builder import BatchBuilder
from asyncjobs.client import Client
from asyncjobs.continuations import Continuable, OnEnd, OnParentFailed
from asyncjobs.definition import Definition
from asyncjobs.errors import AsyncjobsError
from asyncjobs.job import Call, Job
from asyncjobs.middleware import EnqueueMiddleware
from asyncjobs.monitoring import LockInfo, NamespaceStats, QueueInfo, WorkerInfo
from asyncjobs.registry import Registry
from asyncjobs.storage.audit import Finding, Mending
from asyncjobs.storage.base import State, Storage
from asyncjobs.sync_batch import SyncBatch
from asyncjobs.sync_job import SyncJob
from asyncjobs.sync_limits import SyncLimits
from asyncjobs.sync_lock import SyncLock
from asyncjobs.sync_recurring import SyncRecurringJobs

P = ParamSpec("P")
R = TypeVar("R")


class SyncClient:
    """A `Client` whose verbs block: `with SyncClient("redis://localhost:6379/0") as client: …`.

    It takes what `Client` takes, and runs one on an event loop in a thread of its own (so a middleware is a
    coroutine function here, too); any number of threads may use it. In a plain function that runs as a job,
    `context.sync_client` is one that uses the worker's.
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
        middleware: Iterable[EnqueueMiddleware] = (),
    ) -> None:
        around = tuple(middleware)
        self._make: Callable[[], Client] = lambda: Client(
            url,
            registry=registry,
            namespace=namespace,
            shards=shards,
            patience=patience,
            durability=durability,
            middleware=around,
        )
        self._client: Client | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._portal: AbstractContextManager[BlockingPortal] | None = None

    @classmethod
    def of(cls, client: Client, loop: asyncio.AbstractEventLoop) -> Self:
        """One for threads beside a running loop, using that loop's client."""
        made = cls()
        made._client, made._loop = client, loop
        return made

    def __enter__(self) -> Self:
        portal = start_blocking_portal()
        self._portal = portal
        opened = portal.__enter__()

        async def begin() -> Client:
            self._loop = asyncio.get_running_loop()
            client = self._make()
            await client.open()
            return client

        try:
            self._client = opened.call(begin)
        except BaseException:
            portal.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        portal, self._portal = self._portal, None
        if portal is not None:
            try:
                self.run(self.client.close())
            finally:
                self._client = None
                portal.__exit__(None, None, None)

    @property
    def client(self) -> Client:
        """The client that does the work. Raises `AsyncjobsError` before `with` and after it."""
        if self._client is None:
            raise AsyncjobsError("this SyncClient isn't open: use it as `with SyncClient(…) as client:`")
        return self._client

    @property
    def recurring(self) -> SyncRecurringJobs:
        """Recurring jobs: put, look at, pause, trigger and remove them."""
        return SyncRecurringJobs(self, lambda job: SyncJob(self, job))

    @property
    def limits(self) -> SyncLimits:
        """Limits: look at them, and change their numbers."""
        return SyncLimits(self)

    def run(self, verb: Coroutine[Any, Any, R]) -> R:
        """Have any coroutine of the client's run on its loop, and wait for it."""
        loop = self._loop
        if loop is None or self._client is None:
            verb.close()
            raise AsyncjobsError("this SyncClient isn't open: use it as `with SyncClient(…) as client:`")
        try:
            running = asyncio.get_running_loop()
        except RuntimeError:
            running = None
        if running is loop:
            verb.close()
            raise AsyncjobsError(
                "a SyncClient would block the very loop that does its work: use the Client there"
            )
        future = asyncio.run_coroutine_threadsafe(verb, loop)
        try:
            return future.result()
        except BaseException:
            # Whoever is interrupted as it waits (Ctrl-C) doesn't want what it waited for.
            future.cancel()
            raise

    def _job(self, verb: Coroutine[Any, Any, Job[R]]) -> SyncJob[R]:
        return SyncJob(self, self.run(verb))

    @overload
    def enqueue(self, fn: Definition[P, R], /, *args: P.args, **kwargs: P.kwargs) -> SyncJob[R]: ...
    @overload
    def enqueue(self, call: Call[R], /) -> SyncJob[R]: ...
    def enqueue(self, what: Any, /, *args: Any, **kwargs: Any) -> SyncJob[Any]:
        """See `Client.enqueue`."""
        return self._job(cast(Any, self.client.enqueue(what, *args, **kwargs)))

    @overload
    def enqueue_in(
        self, delay: timedelta | float, fn: Definition[P, R], /, *args: P.args, **kwargs: P.kwargs
    ) -> SyncJob[R]: ...
    @overload
    def enqueue_in(self, delay: timedelta | float, call: Call[R], /) -> SyncJob[R]: ...
    def enqueue_in(self, delay: timedelta | float, what: Any, /, *args: Any, **kwargs: Any) -> SyncJob[Any]:
        """See `Client.enqueue_in`."""
        return self._job(cast(Any, self.client.enqueue_in(delay, what, *args, **kwargs)))

    @overload
    def enqueue_at(
        self, when: datetime, fn: Definition[P, R], /, *args: P.args, **kwargs: P.kwargs
    ) -> SyncJob[R]: ...
    @overload
    def enqueue_at(self, when: datetime, call: Call[R], /) -> SyncJob[R]: ...
    def enqueue_at(self, when: datetime, what: Any, /, *args: Any, **kwargs: Any) -> SyncJob[Any]:
        """See `Client.enqueue_at`."""
        return self._job(cast(Any, self.client.enqueue_at(when, what, *args, **kwargs)))

    def enqueue_many(self, calls: Iterable[Call[R]], /) -> list[SyncJob[R]]:
        """See `Client.enqueue_many`. The iterable is gone through on the client's own thread."""
        return [SyncJob(self, job) for job in self.run(self.client.enqueue_many(calls))]

    @overload
    def continue_with(
        self,
        parents: Continuable | Sequence[Continuable],
        fn: Definition[P, R],
        /,
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> SyncJob[R]: ...
    @overload
    def continue_with(
        self,
        parents: Continuable | Sequence[Continuable],
        call: Call[R],
        /,
        *,
        on: OnEnd = "succeeded",
        on_parent_failed: OnParentFailed = "wait",
    ) -> SyncJob[R]: ...
    def continue_with(
        self, parents: Continuable | Sequence[Continuable], what: Any, /, *args: Any, **kwargs: Any
    ) -> SyncJob[Any]:
        """See `Client.continue_with`."""
        return self._job(cast(Any, self.client.continue_with(parents, what, *args, **kwargs)))

    def chain(self, *calls: Call[Any]) -> list[SyncJob[Any]]:
        """See `Client.chain`."""
        return [SyncJob(self, job) for job in self.run(self.client.chain(*calls))]

    @contextmanager
    def batch(self, name: str = "", /) -> Generator[BatchBuilder, None, None]:
        """See `Client.batch`: `with client.batch("import") as batch: batch.enqueue(…)`.

        What its verbs return are `Job`s; `SyncJob(client, job)` is the same job with verbs that block.
        """
        builder = self.client.batch(name)
        try:
            yield builder
        except BaseException:
            builder.discard()
            raise
        self.run(builder.commit())

    def get_batch(self, batch_id: str, /) -> SyncBatch | None:
        """See `Client.get_batch`."""
        batch = self.run(self.client.get_batch(batch_id))
        return None if batch is None else SyncBatch(self, batch)

    def batch_of(self, batch_id: str, /) -> SyncBatch:
        """See `Client.batch_of`."""
        return SyncBatch(self, self.client.batch_of(batch_id))

    def batches(self, *, offset: int = 0, limit: int = 50) -> list[SyncBatch]:
        """See `Client.batches`."""
        return [SyncBatch(self, batch) for batch in self.run(self.client.batches(offset=offset, limit=limit))]

    @overload
    def get(self, job_id: str, definition: Definition[..., R], /) -> SyncJob[R] | None: ...
    @overload
    def get(self, job_id: str, /) -> SyncJob[Any] | None: ...
    def get(self, job_id: str, definition: Definition[..., Any] | None = None, /) -> SyncJob[Any] | None:
        """See `Client.get`."""
        job = self.run(cast(Any, self.client.get)(job_id, definition))
        return None if job is None else SyncJob(self, cast("Job[Any]", job))

    def cancel(self, job_id: str, /) -> bool:
        """See `Client.cancel`."""
        return self.run(self.client.cancel(job_id))

    def requeue(self, job_id: str, /) -> None:
        """See `Client.requeue`."""
        self.run(self.client.requeue(job_id))

    def run_now(self, job_id: str, /) -> None:
        """See `Client.run_now`."""
        self.run(self.client.run_now(job_id))

    def delete(self, job_id: str, /) -> None:
        """See `Client.delete`."""
        self.run(self.client.delete(job_id))

    def move(self, job_id: str, queue: str, /) -> None:
        """See `Client.move`."""
        self.run(self.client.move(job_id, queue))

    def jobs(
        self,
        state: State | str,
        /,
        *,
        queue: str | None = None,
        offset: int = 0,
        limit: int = 50,
        newest_first: bool = False,
    ) -> list[SyncJob[Any]]:
        """See `Client.jobs`."""
        found = self.run(
            self.client.jobs(state, queue=queue, offset=offset, limit=limit, newest_first=newest_first)
        )
        return [SyncJob(self, job) for job in found]

    def count(self, state: State | str, /) -> int:
        """See `Client.count`."""
        return self.run(self.client.count(state))

    def purge(self, queue: str, /) -> int:
        """See `Client.purge`."""
        return self.run(self.client.purge(queue))

    def clear(self, state: State | str, /) -> int:
        """See `Client.clear`."""
        return self.run(self.client.clear(state))

    def command(self, worker: str, command: str) -> None:
        """See `Client.command`."""
        self.run(self.client.command(worker, command))

    def lock(
        self, name: str, /, *, ttl: timedelta | float = 30.0, wait: timedelta | float | None = None
    ) -> SyncLock:
        """See `Client.lock`: `with client.lock("ledger") as lock: …`; and `SyncLock` for when it is lost."""
        return SyncLock(self, self.client.lock(name, ttl=ttl, wait=wait))

    def locks(self, *, offset: int = 0, limit: int = 50) -> list[LockInfo]:
        """See `Client.locks`."""
        return self.run(self.client.locks(offset=offset, limit=limit))

    def get_lock(self, name: str, /) -> LockInfo | None:
        """See `Client.get_lock`."""
        return self.run(self.client.get_lock(name))

    def break_lock(self, name: str, /, *, holder: str | None = None) -> bool:
        """See `Client.break_lock`."""
        return self.run(self.client.break_lock(name, holder=holder))

    def pause(self, queue: str, /) -> None:
        """See `Client.pause`."""
        self.run(self.client.pause(queue))

    def resume(self, queue: str, /) -> None:
        """See `Client.resume`."""
        self.run(self.client.resume(queue))

    def queues(self) -> list[QueueInfo]:
        """See `Client.queues`."""
        return self.run(self.client.queues())

    def workers(self) -> list[WorkerInfo]:
        """See `Client.workers`."""
        return self.run(self.client.workers())

    def stats(self) -> NamespaceStats:
        """See `Client.stats`."""
        return self.run(self.client.stats())

    def check(self, pause: float = 1.0) -> list[Finding]:
        """See `Client.check`."""
        return self.run(self.client.check(pause))

    def repair(self, pause: float = 1.0) -> list[Mending]:
        """See `Client.repair`."""
        return self.run(self.client.repair(pause))
