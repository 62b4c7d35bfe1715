"""The client: creates jobs, looks at them, controls them."""

from __future__ import annotations

import os
from collections.abc import AsyncIterable, Coroutine, Iterable
from datetime import datetime, timedelta
from types import TracebackType
from typing import Any, Literal, ParamSpec, Self, TypeVar, cast, overload

from asyncjobs.chunks import send_in_chunks
from asyncjobs.clock import system_clock
from asyncjobs.control import Control
from asyncjobs.definition import Definition
from asyncjobs.errors import OptionError
from asyncjobs.ids import new_id
from asyncjobs.job import Call, Job
from asyncjobs.options import epoch_ms, to_ms
from asyncjobs.recurring import RecurringJobs
from asyncjobs.registry import Registry
from asyncjobs.storage.base import JobRecord, NewJob, State, Storage
from asyncjobs.storage.redis import RedisStorage

P = ParamSpec("P")
R = TypeVar("R")

DEFAULT_URL = "redis://localhost:6379/0"
CHUNK = 250
"""Jobs that `enqueue_many` sends at a time."""
CHUNKS_UNDER_WAY = 4


class Client(Control):
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
        if url is None:
            url = os.environ.get("ASYNCJOBS_REDIS") or DEFAULT_URL
        if isinstance(url, str):
            seconds = to_ms(patience, "patience") / 1000
            replicas = 1 if durability == "replicated" else 0
            url = RedisStorage(url, namespace=namespace, shards=shards, patience=seconds, replicas=replicas)
        super().__init__(url, registry)
        self.recurring = RecurringJobs(self)
        """Recurring jobs: put, look at, pause, trigger and remove them."""
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
            await self.waiter.close()
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


def _call(what: Definition[..., Any] | Call[Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Call[Any]:
    if isinstance(what, Definition):
        return what.call(*args, **kwargs)
    if not isinstance(cast(object, what), Call):
        raise OptionError(f"{what!r} isn't a job: declare the function with @registry.job and enqueue that")
    if args or kwargs:
        raise OptionError("a Call has its arguments already: give it alone")
    return what
