"""Batches: building one, which appears whole or not at all, and looking at a stored one."""

from __future__ import annotations

import contextlib
from collections.abc import Coroutine, Iterable, Sequence
from datetime import datetime, timedelta
from types import TracebackType
from typing import Any, ParamSpec, Self, TypeVar, cast, overload

from asyncjobs.chunks import send_in_chunks
from asyncjobs.clock import to_datetime
from asyncjobs.continuations import Continuable, OnEnd, OnParentFailed, parents_of, refuse_outputs
from asyncjobs.control import Control
from asyncjobs.creation import call_of, check_created, job_of, new_job
from asyncjobs.definition import Definition
from asyncjobs.errors import BatchClosed, BatchNotFound, OptionError, StorageError
from asyncjobs.ids import new_id, shard_of
from asyncjobs.job import Call, Job
from asyncjobs.options import epoch_ms, to_ms
from asyncjobs.storage.base import (
    FOLLOW_LIMIT,
    BatchRecord,
    BatchState,
    NewBatch,
    NewJob,
    Opened,
    Parent,
)

P = ParamSpec("P")
R = TypeVar("R")

CHUNK = 250
"""Members that are sent at a time."""
CHUNKS_UNDER_WAY = 4
MAX_NAME = 200


class BatchBuilder:
    """A batch that is being built: nothing of it is sent until the block ends, and then all of it is.

    Its verbs are those of `Client`, but not awaited. Jobs that they return can be continued, and their
    `output` passed on, inside the same batch.
    """

    def __init__(self, control: Control, name: str, shard: int, parent: str = "") -> None:
        if len(name) > MAX_NAME:
            raise OptionError(f"a batch's name has at most {MAX_NAME} characters, not {len(name)}")
        self.batch_id = new_id(shard)
        self.name = name
        self._control = control
        self._shard = shard
        self._parent = parent
        self._jobs: list[NewJob] = []
        self._open = True
        self._root: BatchBuilder = self
        self._nested: list[NewBatch] = []

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.batch_id} {self.name!r}>"

    @property
    def id(self) -> str:
        """Its id, for `Client.get_batch`."""
        return self.batch_id

    def __len__(self) -> int:
        """How many jobs are in it by now, those of nested batches included."""
        return len(self._root._jobs)

    def __bool__(self) -> bool:
        return True

    @overload
    def enqueue(self, fn: Definition[P, R], /, *args: P.args, **kwargs: P.kwargs) -> Job[R]: ...
    @overload
    def enqueue(self, call: Call[R], /) -> Job[R]: ...
    def enqueue(self, what: Any, /, *args: Any, **kwargs: Any) -> Job[Any]:
        """Add a job. See `Client.enqueue`."""
        return self._add(call_of(what, args, kwargs))

    @overload
    def enqueue_in(
        self, delay: timedelta | float, fn: Definition[P, R], /, *args: P.args, **kwargs: P.kwargs
    ) -> Job[R]: ...
    @overload
    def enqueue_in(self, delay: timedelta | float, call: Call[R], /) -> Job[R]: ...
    def enqueue_in(self, delay: timedelta | float, what: Any, /, *args: Any, **kwargs: Any) -> Job[Any]:
        """Add a job that runs after a delay, counted from when the batch appears."""
        return self._add(call_of(what, args, kwargs), delay_ms=to_ms(delay, "the delay"))

    @overload
    def enqueue_at(
        self, when: datetime, fn: Definition[P, R], /, *args: P.args, **kwargs: P.kwargs
    ) -> Job[R]: ...
    @overload
    def enqueue_at(self, when: datetime, call: Call[R], /) -> Job[R]: ...
    def enqueue_at(self, when: datetime, what: Any, /, *args: Any, **kwargs: Any) -> Job[Any]:
        """Add a job that runs at a time. See `Client.enqueue_at`."""
        return self._add(call_of(what, args, kwargs), due_ms=epoch_ms(when, "the time to run at"))

    def enqueue_many(self, calls: Iterable[Call[R]], /) -> list[Job[R]]:
        """Add many jobs."""
        return [self.enqueue(call) for call in calls]

    @overload
    def continue_with(
        self,
        parents: Continuable | Sequence[Continuable],
        fn: Definition[P, R],
        /,
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> Job[R]: ...
    @overload
    def continue_with(
        self,
        parents: Continuable | Sequence[Continuable],
        call: Call[R],
        /,
        *,
        on: OnEnd = "succeeded",
        on_parent_failed: OnParentFailed = "wait",
    ) -> Job[R]: ...
    def continue_with(
        self, parents: Continuable | Sequence[Continuable], what: Any, /, *args: Any, **kwargs: Any
    ) -> Job[Any]:
        """Add a job that runs after others, of this batch or not. See `Client.continue_with`."""
        call, rules = continuation_of(what, args, kwargs)
        return self._add(call, parents=parents_of(parents, call, **rules))

    def batch(self, name: str = "") -> NestedBatchBuilder:
        """A batch that is a member of this one: `with batch.batch("thumbnails") as inner: …`."""
        self._check_open()
        return NestedBatchBuilder(self, name)

    def _add(
        self, call: Call[R], delay_ms: int = 0, due_ms: int = 0, parents: Sequence[Parent] | None = None
    ) -> Job[R]:
        self._check_open()
        if parents is None:
            refuse_outputs(call)
        new = new_job(call, self._shard, delay_ms, due_ms, parents or (), self.batch_id)
        self._root._jobs.append(new)
        return job_of(self._control, new, call.definition)

    def _check_open(self) -> None:
        if not self._open:
            raise OptionError(
                f"batch {self.batch_id} is built already: await client.get_batch(id), and add to that"
            )


class NestedBatchBuilder(BatchBuilder):
    """A batch inside another one that is being built. If its block raises, so must the other's."""

    def __init__(self, outer: BatchBuilder, name: str) -> None:
        super().__init__(outer._control, name, outer._shard, outer.batch_id)
        self._root = outer._root
        self._root._nested.append(NewBatch(self.batch_id, name, outer.batch_id))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        self._open = False


class RootBatchBuilder(BatchBuilder):
    """What `Client.batch` gives: `async with client.batch("import") as batch: …`."""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        self._open = False
        if exc_type is None:
            await self.commit()

    async def commit(self) -> None:
        """Send it, and let it appear. The end of the block does that; sent again, it changes nothing.

        Raises `ParentGone`, `BatchNotFound` or `BatchClosed` (of a batch that it is to be nested in),
        `StorageFull`, `StorageUnavailable`. Then nothing of it runs, unless the very last step was carried
        out and its answer lost: commit again to be sure.
        """
        self._open = False
        storage = self._control.storage
        batches = [NewBatch(self.batch_id, self.name, self._parent), *self._nested]
        for at in range(0, len(batches), FOLLOW_LIMIT):
            self._check(await storage.open_batches(batches[at : at + FOLLOW_LIMIT]))

        def create(chunk: list[NewJob]) -> Coroutine[Any, Any, object]:
            async def send() -> None:
                check_created(chunk, await storage.create(chunk))

            return send()

        await send_in_chunks(self._jobs, CHUNK, CHUNKS_UNDER_WAY, create)
        self._check(await storage.commit_batch(self.batch_id))
        # From here on any worker does the rest, if this client can't.
        with contextlib.suppress(StorageError):
            for _ in range(0, len(self._jobs) + len(batches), FOLLOW_LIMIT):
                if not await storage.carry_on(self._shard):
                    break

    def _check(self, opened: Opened) -> None:
        if opened is Opened.MISSING:
            what = (
                f"batch {self._parent}, which it is to be nested in,"
                if self._parent
                else "what was sent of it"
            )
            raise BatchNotFound(
                f"batch {self.batch_id} {self.name!r} can't be committed: {what} isn't there any more"
            )
        if opened is Opened.CANCELLED:
            raise BatchClosed(f"batch {self._parent} is cancelled: nothing can be added to it")


class Batch:
    """A stored batch. Its properties are what was known when it was last looked at."""

    def __init__(self, control: Control, batch_id: str, record: BatchRecord | None = None) -> None:
        self.batch_id = batch_id
        self._control = control
        self._record = record or BatchRecord(batch_id, "", BatchState.OPEN, "", 0, 0, 0, 0, 0, 0, 0, 0, 0)

    def __repr__(self) -> str:
        return f"<Batch {self.batch_id} {self.name!r} {self.state}>"

    # -- what is known of it --

    @property
    def id(self) -> str:
        """Its id."""
        return self.batch_id

    @property
    def record(self) -> BatchRecord:
        """Everything that was read of it, as it is stored; its counters are of its own members."""
        return self._record

    @property
    def name(self) -> str:
        """What it was called."""
        return self._record.name

    @property
    def state(self) -> BatchState:
        """`open`, or, when all members have ended: `succeeded` (all have), `failed` or `cancelled`."""
        return self._record.state

    @property
    def total(self) -> int:
        """Jobs that are members."""
        return self._record.total

    @property
    def pending(self) -> int:
        """Jobs that have not ended."""
        return self._record.pending

    @property
    def succeeded(self) -> int:
        """Jobs that have succeeded."""
        return self._record.succeeded

    @property
    def failed(self) -> int:
        """Jobs that have failed."""
        return self._record.failed

    @property
    def cancelled(self) -> int:
        """Jobs that were cancelled."""
        return self._record.cancelled

    @property
    def progress(self) -> float:
        """Which part of its members, nested batches included, has ended: 0 to 1."""
        record = self._record
        members = record.total + record.nested
        ended = record.total - record.pending + record.nested_succeeded + record.nested_failed
        return ended / members if members else float(record.state.is_finished)

    @property
    def created_at(self) -> datetime | None:
        """When it was created, by the storage's clock."""
        return to_datetime(self._record.created_ms) if self._record.created_ms else None

    @property
    def finished_at(self) -> datetime | None:
        """When all members had ended."""
        return to_datetime(self._record.finished_ms) if self._record.finished_ms else None

    # -- what can be done --

    async def refresh(self) -> Batch:
        """Look at it again; the same object, up to date. Raises `BatchNotFound`."""
        record = await self._control.storage.get_batch(self.batch_id)
        if record is None:
            raise _not_found(self.batch_id)
        self._record = record
        return self

    async def wait(self, timeout: timedelta | float | None = None) -> Batch:
        """Wait until all members have ended, whether they have succeeded or not; the same object, up to date.

        `timeout`: a `timedelta` or seconds; None waits for as long as it takes. Raises `ResultTimeout` and
        `BatchNotFound`.
        """
        seconds = None if timeout is None else to_ms(timeout, "the time-out") / 1000
        record = await self._control.waiter.wait_for_batch(self.batch_id, seconds)
        if record is None:
            raise _not_found(self.batch_id)
        self._record = record
        return self

    async def cancel(self) -> None:
        """Cancel all members that haven't ended, in nested batches too. Raises `BatchNotFound`."""
        storage = self._control.storage
        if await storage.cancel_batch(self.batch_id) is Opened.MISSING:
            raise _not_found(self.batch_id)
        with contextlib.suppress(StorageError):
            while await storage.carry_on(shard_of(self.batch_id, storage.shards)):
                pass

    async def jobs(self, *, offset: int = 0, limit: int = 50) -> list[Job[Any]]:
        """A page of its members, in the order in which they were added; nested batches are passed over."""
        found = await self._control.storage.members(self.batch_id, offset=offset, limit=limit)
        jobs = [await self._control.get(member) for member in found.ids if not member.startswith("~")]
        return [job for job in jobs if job is not None]

    @overload
    async def enqueue(self, fn: Definition[P, R], /, *args: P.args, **kwargs: P.kwargs) -> Job[R]: ...
    @overload
    async def enqueue(self, call: Call[R], /) -> Job[R]: ...
    async def enqueue(self, what: Any, /, *args: Any, **kwargs: Any) -> Job[Any]:
        """Add a job; a batch that has finished is open again.

        Raises `BatchNotFound`, `BatchClosed` and what `Client.enqueue` raises.
        """
        (job,) = await self.enqueue_many([call_of(what, args, kwargs)])
        return job

    async def enqueue_many(self, calls: Iterable[Call[R]], /) -> list[Job[R]]:
        """Add many jobs, in chunks."""
        storage = self._control.storage
        shard = shard_of(self.batch_id, storage.shards)
        jobs: list[Job[R]] = []

        def create(chunk: list[Call[R]]) -> Coroutine[Any, Any, object]:
            for call in chunk:
                refuse_outputs(call)
            new = [new_job(call, shard, batch=self.batch_id) for call in chunk]
            jobs.extend(
                job_of(self._control, job, call.definition) for job, call in zip(new, chunk, strict=True)
            )

            async def send() -> None:
                check_created(new, await storage.create(new))

            return send()

        await send_in_chunks(calls, CHUNK, CHUNKS_UNDER_WAY, create)
        return jobs

    def batch(self, name: str = "") -> RootBatchBuilder:
        """A batch that becomes a member of this one when its block ends: `async with outer.batch() as …`."""
        shard = shard_of(self.batch_id, self._control.storage.shards)
        return RootBatchBuilder(self._control, name, shard, self.batch_id)


def continuation_of(
    what: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> tuple[Call[Any], dict[str, Any]]:
    """A continuation's call, and the keywords of ours that were given with it."""
    if isinstance(what, Definition):
        return call_of(cast("Definition[..., Any]", what), args, kwargs), {}
    unknown = sorted(kwargs.keys() - {"on", "on_parent_failed"})
    if unknown:
        raise OptionError(
            f"there is no option {', '.join(unknown)} of a continuation: give on, on_parent_failed"
        )
    return call_of(what, args, {}), kwargs


def _not_found(batch_id: str) -> BatchNotFound:
    return BatchNotFound(f"there is no batch {batch_id}: it was never committed, or is past its retention")
