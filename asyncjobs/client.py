"""The client: creates jobs, looks at them, controls them."""

from __future__ import annotations

import os
from collections.abc import AsyncIterable, Callable, Coroutine, Iterable, Sequence
from datetime import datetime, timedelta
from types import TracebackType
from typing import Any, Literal, ParamSpec, Self, TypeVar, overload

from asyncjobs.batch import Batch
from asyncjobs.batch_builder import RootBatchBuilder
from asyncjobs.chunks import send_in_chunks
from asyncjobs.constraints import shard_of_all
from asyncjobs.continuations import (
    Continuable,
    OnEnd,
    OnParentFailed,
    check_chain,
    continuation_of,
    parents_of,
    refuse_outputs,
)
from asyncjobs.control import Control
from asyncjobs.creation import bound_jobs, call_of, check_call, job_of, new_job, settle
from asyncjobs.definition import Definition
from asyncjobs.drafts import drafts_of, send_drafts
from asyncjobs.ids import shard_of
from asyncjobs.job import Call, Job
from asyncjobs.limits import Limits
from asyncjobs.lock_hold import LockHold
from asyncjobs.lock_inbox import LockInbox
from asyncjobs.locks import Lock, LockTasks, check_lock_name, check_lock_times
from asyncjobs.middleware import EnqueueMiddleware
from asyncjobs.options import epoch_ms, to_ms
from asyncjobs.recurring import RecurringJobs
from asyncjobs.registry import Registry
from asyncjobs.storage.base import NewJob, Parent, Storage
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
    * `middleware`: coroutine functions that go around everything that it enqueues, outermost first; inside
      the registry's `enqueue_middleware`. `async def tag(context: EnqueueContext, call_next: CallNext)` may
      look at `context.jobs` and change them; `await call_next()` creates them. If it raises before, nothing
      was created, and its error reaches who enqueues.

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
        middleware: Iterable[EnqueueMiddleware] = (),
    ) -> None:
        if url is None:
            url = os.environ.get("ASYNCJOBS_REDIS") or DEFAULT_URL
        if isinstance(url, str):
            seconds = to_ms(patience, "patience") / 1000
            replicas = 1 if durability == "replicated" else 0
            url = RedisStorage(url, namespace=namespace, shards=shards, patience=seconds, replicas=replicas)
        super().__init__(url, registry, middleware)
        self.recurring = RecurringJobs(self)
        """Recurring jobs: put, look at, pause, trigger and remove them."""
        self.limits = Limits(self)
        """Limits: look at them, and change their numbers."""
        self.lock_inbox = LockInbox(self.storage)
        """Where those that wait for locks are told; for extensions."""
        self._lock_tasks = LockTasks()
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
        # Now, for more may have been declared since it was made.
        self._gather_middleware()
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
            await self._lock_tasks.close()
            await self.lock_inbox.close()
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
        `CallError`, `SerializationError`, `PayloadTooLarge`, `UniqueConflict`, `StorageFull`,
        `StorageUnavailable`.

        Of a unique job, and of one with a `job_id`, the job that is there already may be what is returned.
        """
        return await self._submit(call_of(what, args, kwargs))

    @overload
    async def enqueue_in(
        self, delay: timedelta | float, fn: Definition[P, R], /, *args: P.args, **kwargs: P.kwargs
    ) -> Job[R]: ...
    @overload
    async def enqueue_in(self, delay: timedelta | float, call: Call[R], /) -> Job[R]: ...
    async def enqueue_in(self, delay: timedelta | float, what: Any, /, *args: Any, **kwargs: Any) -> Job[Any]:
        """Create a job that runs after a delay (a `timedelta` or seconds), counted by the storage's clock."""
        return await self._submit(call_of(what, args, kwargs), delay_ms=to_ms(delay, "the delay"))

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
        return await self._submit(call_of(what, args, kwargs), due_ms=epoch_ms(when, "the time to run at"))

    async def enqueue_many(self, calls: Iterable[Call[R]] | AsyncIterable[Call[R]], /) -> list[Job[R]]:
        """Create many jobs: `enqueue_many(resize.call(path) for path in paths)`. Also from an async iterable.

        They are sent in chunks while the iterable goes on, so it may be of any length. Each chunk is there or
        isn't; if the iterable raises, the chunks before that are there. (A batch creates all or none.) Of a
        chunk in which one raises `UniqueConflict`, the others are there.
        """
        jobs: list[Job[R]] = []

        def create(chunk: list[Call[R]]) -> Coroutine[Any, Any, object]:
            bound = False
            for call in chunk:
                check_call(call)
                if call.outputs:
                    refuse_outputs(call)
                bound = bound or call.constraints is not None
            shards = self.storage.shards
            new = [new_job(call, self._take_shard(), shards=shards) for call in chunk]
            made = [job_of(self, job, call.definition) for job, call in zip(new, chunk, strict=True)]
            jobs.extend(made)
            return self._create(new, made, chunk) if bound or self.middleware else self.storage.create(new)

        await send_in_chunks(calls, CHUNK, CHUNKS_UNDER_WAY, create)
        return jobs

    # -- continuations and batches --

    @overload
    async def continue_with(
        self,
        parents: Continuable | Sequence[Continuable],
        fn: Definition[P, R],
        /,
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> Job[R]: ...
    @overload
    async def continue_with(
        self,
        parents: Continuable | Sequence[Continuable],
        call: Call[R],
        /,
        *,
        on: OnEnd = "succeeded",
        on_parent_failed: OnParentFailed = "wait",
    ) -> Job[R]: ...
    async def continue_with(
        self, parents: Continuable | Sequence[Continuable], what: Any, /, *args: Any, **kwargs: Any
    ) -> Job[Any]:
        """Create a job that runs when others have ended: `continue_with(job, archive, job.output)`.

        * `parents`: a job, a batch, or several of them; they may have ended already.
        * `on`: which end lets it run: `"succeeded"` (default), `"failed"` or `"finished"` (any). With several
          parents, all of them have to end so.
        * `on_parent_failed`: what becomes of a continuation on success when a parent fails or is cancelled.
          It can `"wait"` (default) until that parent is requeued and succeeds, or `"cancel"`. A continuation
          on failure is cancelled when a parent ends otherwise; each is when a parent is deleted.

        `on` and `on_parent_failed` go with a call: `continue_with(job, alert.call("…"), on="failed")`. Raises
        `ParentGone`, `OptionError` and what `enqueue` raises.
        """
        call, rules = continuation_of(what, args, kwargs)
        linked = parents_of(parents, call, **rules)
        return (await self._create_linked([(call, linked)], shard_of(linked[0].id, self.storage.shards)))[0]

    async def chain(self, *calls: Call[Any]) -> list[Job[Any]]:
        """Create jobs of which each runs when the one before has succeeded; all of them, or none.

        `PREVIOUS` stands for the result of the job before: `chain(fetch.call(url), parse.call(PREVIOUS))`.
        At most 250; `continue_with` inside a batch makes chains of any length. Raises `OptionError` and what
        `enqueue` raises.
        """
        check_chain(calls)
        bound = [call.constraints for call in calls if call.constraints is not None]
        wanted = shard_of_all(bound, self.storage.shards, "this chain")
        shard = self._take_shard() if wanted is None else wanted
        return await self._create_linked([(call, ()) for call in calls], shard, chained=True)

    async def _create_linked(
        self,
        links: Sequence[tuple[Call[Any], tuple[Parent, ...]]],
        shard: int,
        chained: bool = False,
    ) -> list[Job[Any]]:
        new: list[NewJob] = []
        for call, parents in links:
            if chained and new:
                parents = (Parent(new[-1].id, output=bool(call.outputs)),)
            new.append(new_job(call, shard, parents=parents, shards=self.storage.shards))
        calls = [call for call, _ in links]
        jobs = [job_of(self, job, call.definition) for job, call in zip(new, calls, strict=True)]
        await self._create(new, jobs, calls)
        return jobs

    def batch(self, name: str = "", /) -> RootBatchBuilder:
        """A batch: jobs that appear all at once, or not at all, and whose ends are counted.

        `async with client.batch("import") as batch: batch.enqueue(…)`. Nothing is sent before the block ends,
        and nothing at all if it raises. `name` is for people.
        """
        return RootBatchBuilder(self, name, self._take_shard())

    async def get_batch(self, batch_id: str, /) -> Batch | None:
        """The batch of an id, or None."""
        record = await self.storage.get_batch(batch_id)
        return None if record is None else Batch(self, batch_id, record)

    def batch_of(self, batch_id: str, /) -> Batch:
        """A batch that is known to be there, without looking: to add to, wait for, or cancel."""
        return Batch(self, batch_id)

    async def batches(self, *, offset: int = 0, limit: int = 50) -> list[Batch]:
        """A page of the open batches, newest first, and then of the finished ones, latest first."""
        found = await self.storage.batches(offset=offset, limit=limit)
        return [Batch(self, record.id, record) for record in found]

    # -- locks --

    def lock(
        self, name: str, /, *, ttl: timedelta | float = 30.0, wait: timedelta | float | None = None
    ) -> Lock:
        """A lock for a part of your code: `async with client.lock("ledger", wait=10) as lock: lock.token`.

        * `name`: one at a time of all that ask for it in this namespace, inside jobs and outside.
        * `ttl`: how long it stays taken when its holder dies, a `timedelta` or seconds (default 30; from 1 s
          to a day). While the block runs it is renewed. Choose it well above the longest time for which your
          event loop may be blocked.
        * `wait`: how long to wait for it; None (default): for ever; 0: not at all.

        The block raises `LockNotAcquired` if it isn't free in time, and `LockLost` if it is lost meanwhile:
        then the block is cancelled, before another can have it. Raises `OptionError`.
        """
        check_lock_name(name)
        ttl_ms, seconds = check_lock_times(ttl, wait)

        def make(lost: Callable[[], None]) -> LockHold:
            return LockHold(self.storage, self.lock_inbox, name, ttl_ms, lost, waits=seconds != 0)

        return Lock(name, seconds, make, self._lock_tasks)

    # -- inside --

    def _take_shard(self) -> int:
        """The shard of a new job that belongs to no other one: each in turn."""
        shards = self.storage.shards
        if shards == 1:
            return 0
        shard = self._next_shard
        self._next_shard = (shard + 1) % shards
        return shard

    async def _submit(self, call: Call[R], delay_ms: int = 0, due_ms: int = 0) -> Job[R]:
        if call.outputs:
            refuse_outputs(call)
        if call.constraints is None and not self.middleware:
            new = new_job(call, self._take_shard(), delay_ms, due_ms)
            await self.storage.create((new,))
            return job_of(self, new, call.definition)
        new = new_job(call, self._take_shard(), delay_ms, due_ms, shards=self.storage.shards)
        job = job_of(self, new, call.definition)
        await self._create((new,), (job,), (call,))
        return job

    async def _create(
        self, new: Sequence[NewJob], jobs: Sequence[Job[Any]], calls: Sequence[Call[Any]]
    ) -> None:
        if self.middleware:
            await send_drafts(self, drafts_of(self, new, jobs, calls), self._settle)
        else:
            await self._settle(new, jobs, calls)

    async def _settle(
        self, new: Sequence[NewJob], jobs: Sequence[Job[Any]], calls: Sequence[Call[Any]]
    ) -> None:
        await settle(self, new, await self.storage.create(new), bound_jobs(new, jobs, calls))
