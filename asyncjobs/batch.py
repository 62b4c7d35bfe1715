"""Stored batches: looking at one, waiting for it, adding to it, cancelling it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Coroutine, Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any, ParamSpec, TypeVar, overload

from asyncjobs.batch_builder import CHUNK, CHUNKS_UNDER_WAY, RootBatchBuilder
from asyncjobs.chunks import send_in_chunks
from asyncjobs.clock import to_datetime
from asyncjobs.continuations import (
    Continuable,
    OnEnd,
    OnParentFailed,
    continuation_of,
    parents_of,
    refuse_outputs,
)
from asyncjobs.control import Control
from asyncjobs.creation import bound_jobs, call_of, check_call, job_of, new_job, settle
from asyncjobs.definition import Definition
from asyncjobs.drafts import drafts_of, send_drafts
from asyncjobs.errors import BatchNotFound, StorageError
from asyncjobs.ids import shard_of
from asyncjobs.job import Call, Job
from asyncjobs.options import epoch_ms, to_ms
from asyncjobs.storage.base import FOLLOW_LIMIT, BatchRecord, BatchState, NewJob, Opened, Parent

P = ParamSpec("P")
R = TypeVar("R")


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

        `timeout`: a `timedelta` or seconds; None waits for as long as it takes, 0 not at all. Raises
        `ResultTimeout` and `BatchNotFound`.
        """
        seconds = None if timeout is None else to_ms(timeout, "the time-out") / 1000
        record = await self._control.waiter.wait_for_batch(self.batch_id, seconds)
        if record is None:
            raise _not_found(self.batch_id)
        self._record = record
        return self

    async def cancel(self) -> None:
        """Cancel all members that haven't ended, in nested batches too. Raises `BatchNotFound`.

        It is decided when it returns; of a large batch, workers may still have members to cancel.
        """
        storage = self._control.storage
        if await storage.cancel_batch(self.batch_id) is Opened.MISSING:
            raise _not_found(self.batch_id)
        # Any worker does the rest, if this client can't; and what others have left to do is not for it.
        with contextlib.suppress(StorageError):
            record = await storage.get_batch(self.batch_id)
            if record is None:
                return
            for _ in range(record.total // FOLLOW_LIMIT + record.nested + 1):
                if not await storage.carry_on(self._shard):
                    break

    async def jobs(self, *, offset: int = 0, limit: int = 50) -> list[Job[Any]]:
        """The jobs that are among a page of its members, in the order in which they were added.

        Nested batches are members too, and come before the jobs that they were built with.
        """
        found = await self._control.storage.members(self.batch_id, offset=offset, limit=limit)
        ids = [member for member in found.ids if not member.startswith("~")]
        return [job for job in await asyncio.gather(*map(self._control.get, ids)) if job is not None]

    async def nested(self, *, offset: int = 0, limit: int = 50) -> list[Batch]:
        """The nested batches that are among a page of its members."""
        storage = self._control.storage
        found = await storage.members(self.batch_id, offset=offset, limit=limit)
        ids = [member.removeprefix("~") for member in found.ids if member.startswith("~")]
        records = await asyncio.gather(*map(storage.get_batch, ids))
        return [Batch(self._control, record.id, record) for record in records if record is not None]

    @overload
    async def enqueue(self, fn: Definition[P, R], /, *args: P.args, **kwargs: P.kwargs) -> Job[R]: ...
    @overload
    async def enqueue(self, call: Call[R], /) -> Job[R]: ...
    async def enqueue(self, what: Any, /, *args: Any, **kwargs: Any) -> Job[Any]:
        """Add a job; a batch that has finished is open again.

        Raises `BatchNotFound`, `BatchClosed` and what `Client.enqueue` raises.
        """
        return await self._add(call_of(what, args, kwargs))

    @overload
    async def enqueue_in(
        self, delay: timedelta | float, fn: Definition[P, R], /, *args: P.args, **kwargs: P.kwargs
    ) -> Job[R]: ...
    @overload
    async def enqueue_in(self, delay: timedelta | float, call: Call[R], /) -> Job[R]: ...
    async def enqueue_in(self, delay: timedelta | float, what: Any, /, *args: Any, **kwargs: Any) -> Job[Any]:
        """Add a job that runs after a delay. See `Client.enqueue_in`."""
        return await self._add(call_of(what, args, kwargs), delay_ms=to_ms(delay, "the delay"))

    @overload
    async def enqueue_at(
        self, when: datetime, fn: Definition[P, R], /, *args: P.args, **kwargs: P.kwargs
    ) -> Job[R]: ...
    @overload
    async def enqueue_at(self, when: datetime, call: Call[R], /) -> Job[R]: ...
    async def enqueue_at(self, when: datetime, what: Any, /, *args: Any, **kwargs: Any) -> Job[Any]:
        """Add a job that runs at a time. See `Client.enqueue_at`."""
        return await self._add(call_of(what, args, kwargs), due_ms=epoch_ms(when, "the time to run at"))

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
        """Add a job that runs after others, of this batch or not. See `Client.continue_with`.

        Not after this batch or one that it is in, as these wait for the job: that is an `OptionError`.
        """
        call, rules = continuation_of(what, args, kwargs)
        return await self._add(call, parents=parents_of(parents, call, **rules, within=self._within()))

    async def enqueue_many(self, calls: Iterable[Call[R]], /) -> list[Job[R]]:
        """Add many jobs, in chunks."""
        jobs: list[Job[R]] = []

        def create(chunk: list[Call[R]]) -> Coroutine[Any, Any, object]:
            for call in chunk:
                check_call(call)
                refuse_outputs(call)
            new = [self._new(call) for call in chunk]
            made = [job_of(self._control, job, call.definition) for job, call in zip(new, chunk, strict=True)]
            jobs.extend(made)
            return self._create(new, made, chunk)

        await send_in_chunks(calls, CHUNK, CHUNKS_UNDER_WAY, create)
        return jobs

    def batch(self, name: str = "") -> RootBatchBuilder:
        """A batch that becomes a member of this one when its block ends: `async with outer.batch() as …`."""
        return RootBatchBuilder(self._control, name, self._shard, self.batch_id, self._within())

    # -- inside --

    @property
    def _shard(self) -> int:
        return shard_of(self.batch_id, self._control.storage.shards)

    def _within(self) -> set[str]:
        """The batches that what is added to it is going to be in, as far as they are known."""
        return {self.batch_id, self._record.parent} - {""}

    async def _add(
        self, call: Call[R], delay_ms: int = 0, due_ms: int = 0, parents: Sequence[Parent] | None = None
    ) -> Job[R]:
        if parents is None:
            refuse_outputs(call)
        new = self._new(call, delay_ms, due_ms, parents or ())
        job = job_of(self._control, new, call.definition)
        await self._create([new], [job], [call])
        return job

    def _new(
        self, call: Call[Any], delay_ms: int = 0, due_ms: int = 0, parents: Sequence[Parent] = ()
    ) -> NewJob:
        shards = self._control.storage.shards
        return new_job(call, self._shard, delay_ms, due_ms, parents, self.batch_id, shards=shards)

    async def _create(
        self, new: Sequence[NewJob], jobs: Sequence[Job[Any]], calls: Sequence[Call[Any]]
    ) -> None:
        if self._control.middleware:
            await send_drafts(self._control, drafts_of(self._control, new, jobs, calls), self._settle)
        else:
            await self._settle(new, jobs, calls)

    async def _settle(
        self, new: Sequence[NewJob], jobs: Sequence[Job[Any]], calls: Sequence[Call[Any]]
    ) -> None:
        created = await self._control.storage.create(new)
        await settle(self._control, new, created, bound_jobs(new, jobs, calls))


def _not_found(batch_id: str) -> BatchNotFound:
    return BatchNotFound(f"there is no batch {batch_id}: it was never committed, or is past its retention")
