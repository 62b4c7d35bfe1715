"""Building a batch, which appears whole or not at all."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Callable, Collection, Coroutine, Iterable, Iterator, Sequence
from datetime import datetime, timedelta
from types import TracebackType
from typing import Any, ParamSpec, Self, TypeVar, overload

from asyncjobs.chunks import send_in_chunks
from asyncjobs.continuations import (
    Continuable,
    OnEnd,
    OnParentFailed,
    continuation_of,
    parents_of,
    refuse_outputs,
)
from asyncjobs.control import Control
from asyncjobs.creation import Bound, add_bound, bound_jobs, call_of, check_call, job_of, new_job, settle
from asyncjobs.definition import Definition
from asyncjobs.drafts import JobDraft, send_drafts
from asyncjobs.errors import AsyncjobsError, BatchClosed, BatchNotFound, OptionError, StorageError
from asyncjobs.ids import new_id
from asyncjobs.job import Call, Job
from asyncjobs.options import epoch_ms, to_ms
from asyncjobs.storage.base import FOLLOW_LIMIT, NEST_LIMIT, NewBatch, NewJob, Opened, Parent

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

    _open = False  # Where it wasn't made, `__del__` asks too.

    def __init__(
        self, control: Control, name: str, shard: int, parent: str = "", around: Collection[str] = ()
    ) -> None:
        if len(name) > MAX_NAME:
            raise OptionError(f"a batch's name has at most {MAX_NAME} characters, not {len(name)}")
        self.batch_id = new_id(shard)
        self.name = name
        self._control = control
        self._shard = shard
        self._parent = parent
        self._within = frozenset((self.batch_id, *around))
        self._jobs: list[NewJob] = []
        self._bound: Bound = {}
        # The same as `_jobs`. It is decided once: middleware that comes later mustn't find but a part.
        self._drafts: list[JobDraft] | None = [] if control.middleware else None
        self._sealed: list[NewJob] | None = None
        """What its middleware has made of them, once that let them pass."""
        self._open = True
        self._committed = False
        self._refused: AsyncjobsError | None = None
        """Why it can't be committed any more."""
        self._nested: list[NewBatch] = []

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.batch_id} {self.name!r}>"

    @property
    def _root(self) -> BatchBuilder:
        # Not stored: in a cycle, it wouldn't be noticed at once that nobody holds it any more.
        return self

    @property
    def id(self) -> str:
        """Its id, for `Client.get_batch`."""
        return self.batch_id

    @property
    def is_committed(self) -> bool:
        """Whether it has appeared: from then on the client can continue it, and find it."""
        return self._committed

    def __len__(self) -> int:
        """How many jobs are in it by now, those of batches nested in it included."""
        return len(self._jobs)

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
        jobs: list[Job[R]] = []
        for call in calls:
            check_call(call)
            jobs.append(self._add(call))
        return jobs

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
        """Add a job that runs after others, of this batch or not. See `Client.continue_with`.

        Not after this batch or one that it is in, as these wait for the job: that is an `OptionError`.
        """
        call, rules = continuation_of(what, args, kwargs)
        return self._add(call, parents=parents_of(parents, call, **rules, within=self._within, later=True))

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
        for parent in parents or ():
            bound = self._root._bound.get(parent.id)
            if bound is not None and bound[1].may_be_left_out:
                raise OptionError(
                    f"{call.definition.name} can't continue {bound[0][0].name} in the batch that creates it:"
                    " that is unique, so that another job may be there instead; use on_conflict='replace', or"
                    " continue it when the batch is committed"
                )
        shards = self._control.storage.shards
        new = new_job(call, self._shard, delay_ms, due_ms, parents or (), self.batch_id, shards=shards)
        job = job_of(self._control, new, call.definition)
        self._root._jobs.append(new)
        add_bound(self._root._bound, new, job, call)
        if (drafts := self._root._drafts) is not None:
            drafts.append(JobDraft(self._control, new, job, call))
        return job

    def _check_open(self) -> None:
        if not (self._open and self._root._open):
            raise OptionError(
                f"batch {self.batch_id} is built already: await client.get_batch(id), and add to that"
            )


class NestedBatchBuilder(BatchBuilder):
    """A batch inside another one that is being built.

    If its block raises, nothing of it is sent; the other one is, should its own block go on and end well.
    """

    def __init__(self, outer: BatchBuilder, name: str) -> None:
        super().__init__(outer._control, name, outer._shard, outer.batch_id, outer._within)
        self._outermost = outer._root
        self._inner: list[NestedBatchBuilder] = []
        self._left_out = False
        self._root._nested.append(NewBatch(self.batch_id, name, outer.batch_id))
        if isinstance(outer, NestedBatchBuilder):
            outer._inner.append(self)

    @property
    def _root(self) -> BatchBuilder:
        return self._outermost

    @property
    def is_committed(self) -> bool:
        """Whether it has appeared, with the batch around it."""
        return self._root._committed and not self._left_out

    def __len__(self) -> int:
        """How many jobs are in it by now, those of batches nested in it included."""
        ids = {builder.batch_id for builder in self._all()}
        return sum(job.batch in ids for job in self._root._jobs)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        left_out: set[str] = set()
        for builder in self._all():
            builder._open = False
            builder._left_out |= exc_type is not None
            left_out.add(builder.batch_id)
        if exc_type is not None:
            root = self._root
            root._jobs = [job for job in root._jobs if job.batch not in left_out]
            if root._drafts is not None:
                root._drafts = [draft for draft in root._drafts if draft.batch not in left_out]
            root._nested = [batch for batch in root._nested if batch.id not in left_out]

    def _all(self) -> Iterator[NestedBatchBuilder]:
        """It, and all that are nested in it."""
        yield self
        for inner in self._inner:
            yield from inner._all()


class RootBatchBuilder(BatchBuilder):
    """What `Client.batch` gives: `async with client.batch("import") as batch: …`."""

    def __del__(self, _warn: Callable[..., None] = warnings.warn) -> None:
        if self._open and self._jobs:
            _warn(
                f"batch {self.batch_id} {self.name!r} was never committed, so its jobs ({len(self)}) weren't"
                " sent: build it in `async with`, or await commit(), or discard() it",
                ResourceWarning,
                source=self,
            )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        self.discard()
        if exc_type is None:
            await self.commit()

    def discard(self) -> None:
        """Let nothing be added any more. What isn't committed is never sent."""
        self._open = False

    async def commit(self) -> None:
        """Send it, and let it appear. The end of the block does that; sent again, it changes nothing.

        Raises `ParentGone`, `UniqueConflict`, `WrongDefinition`, `BatchNotFound` or `BatchClosed` (of a batch
        that it is to be nested in): then nothing of it runs, and it can't be committed any more. Raises
        `StorageFull`, `StorageUnavailable`: nothing of it runs, unless the very last step was carried out and
        its answer lost; commit again to be sure.
        """
        self._open = False
        if self._refused is not None:
            raise self._refused
        if self._sealed is not None:
            # What may be there already can't be changed any more, so it is sent again as it was.
            await self._send(self._sealed)
        elif self._drafts and not self._committed:
            await send_drafts(self._control, self._drafts, self._send_drafted)
        else:
            await self._send(self._jobs)

    async def _send_drafted(
        self, new: Sequence[NewJob], jobs: Sequence[Job[Any]], calls: Sequence[Call[Any]]
    ) -> None:
        self._bound, self._sealed = bound_jobs(new, jobs, calls), list(new)
        await self._send(new)

    async def _send(self, jobs: Sequence[NewJob]) -> None:
        storage = self._control.storage
        batches = [NewBatch(self.batch_id, self.name, self._parent), *self._nested]
        for at in range(0, len(batches), FOLLOW_LIMIT):
            opened = await storage.open_batches(batches[at : at + FOLLOW_LIMIT])
            if opened is Opened.COMMITTED and not at:
                self._committed = True
                return
            self._check(opened)

        def create(chunk: list[NewJob]) -> Coroutine[Any, Any, object]:
            async def send() -> None:
                await settle(self._control, chunk, await storage.create(chunk), self._bound)

            return send()

        try:
            jobs = [job for job in jobs if not self._left_out_for_another(job)]
            await send_in_chunks(jobs, CHUNK, CHUNKS_UNDER_WAY, create)
        except StorageError:
            raise
        except AsyncjobsError as error:
            self._refused = error
            await self._free_keys()
            raise
        self._jobs = [job for job in self._jobs if not self._left_out_for_another(job)]
        self._check(await storage.commit_batch(self.batch_id))
        self._committed = True
        # From here on any worker does the rest, if this client can't.
        with contextlib.suppress(StorageError):
            for _ in range(0, len(jobs) + len(batches), FOLLOW_LIMIT):
                if not await storage.carry_on(self._shard):
                    break

    def _left_out_for_another(self, new: NewJob) -> bool:
        """Whether another job was there instead of it."""
        return new.id in self._bound and self._bound[new.id][0][0].id != new.id

    async def _free_keys(self) -> None:
        """Let go of the unique keys that what was sent of it holds, before that is swept away."""
        with contextlib.suppress(StorageError):
            for job_id, (_, constraints) in self._bound.items():
                if constraints.unique is not None and constraints.job_id is None:
                    await self._control.storage.delete(job_id)

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
        if opened is Opened.TOO_DEEP:
            raise OptionError(f"batches can be nested {NEST_LIMIT} deep at most: put some beside each other")
        if opened is Opened.CANCELLED:
            raise BatchClosed(f"batch {self._parent} is cancelled: nothing can be added to it")
