"""A stored batch, for code that isn't async."""

from __future__ import annotations

from collections.abc import Coroutine, Generator, Iterable, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar, cast, overload

from asyncjobs.batch import Batch
from asyncjobs.batch_builder import BatchBuilder
from asyncjobs.continuations import Continuable, OnEnd, OnParentFailed
from asyncjobs.definition import Definition
from asyncjobs.job import Call, Job
from asyncjobs.storage.base import BatchState
from asyncjobs.sync_job import SyncJob

if TYPE_CHECKING:
    from asyncjobs.sync import SyncClient

P = ParamSpec("P")
R = TypeVar("R")


class SyncBatch:
    """A `Batch` whose verbs block. `batch` is the batch itself, with all that is known of it."""

    __slots__ = ("_client", "batch")

    def __init__(self, client: SyncClient, batch: Batch) -> None:
        self._client = client
        self.batch = batch

    def __repr__(self) -> str:
        return f"<SyncBatch {self.id} {self.name!r} {self.state}>"

    @property
    def id(self) -> str:
        """Its id."""
        return self.batch.id

    @property
    def batch_id(self) -> str:
        """Its id, by which it can be continued."""
        return self.batch.id

    @property
    def name(self) -> str:
        """What it was called."""
        return self.batch.name

    @property
    def state(self) -> BatchState:
        """Its state, when last looked at."""
        return self.batch.state

    @property
    def total(self) -> int:
        """See `Batch.total`."""
        return self.batch.total

    @property
    def pending(self) -> int:
        """See `Batch.pending`."""
        return self.batch.pending

    @property
    def succeeded(self) -> int:
        """See `Batch.succeeded`."""
        return self.batch.succeeded

    @property
    def failed(self) -> int:
        """See `Batch.failed`."""
        return self.batch.failed

    @property
    def cancelled(self) -> int:
        """See `Batch.cancelled`."""
        return self.batch.cancelled

    @property
    def progress(self) -> float:
        """See `Batch.progress`."""
        return self.batch.progress

    def refresh(self) -> SyncBatch:
        """See `Batch.refresh`."""
        self._client.run(self.batch.refresh())
        return self

    def wait(self, timeout: timedelta | float | None = None) -> SyncBatch:
        """See `Batch.wait`."""
        self._client.run(self.batch.wait(timeout))
        return self

    def cancel(self) -> None:
        """See `Batch.cancel`."""
        self._client.run(self.batch.cancel())

    def jobs(self, *, offset: int = 0, limit: int = 50) -> list[SyncJob[Any]]:
        """See `Batch.jobs`."""
        found = self._client.run(self.batch.jobs(offset=offset, limit=limit))
        return [SyncJob(self._client, job) for job in found]

    def nested(self, *, offset: int = 0, limit: int = 50) -> list[SyncBatch]:
        """See `Batch.nested`."""
        found = self._client.run(self.batch.nested(offset=offset, limit=limit))
        return [SyncBatch(self._client, batch) for batch in found]

    @overload
    def enqueue(self, fn: Definition[P, R], /, *args: P.args, **kwargs: P.kwargs) -> SyncJob[R]: ...
    @overload
    def enqueue(self, call: Call[R], /) -> SyncJob[R]: ...
    def enqueue(self, what: Any, /, *args: Any, **kwargs: Any) -> SyncJob[Any]:
        """See `Batch.enqueue`."""
        return self._job(cast(Any, self.batch.enqueue(what, *args, **kwargs)))

    @overload
    def enqueue_in(
        self, delay: timedelta | float, fn: Definition[P, R], /, *args: P.args, **kwargs: P.kwargs
    ) -> SyncJob[R]: ...
    @overload
    def enqueue_in(self, delay: timedelta | float, call: Call[R], /) -> SyncJob[R]: ...
    def enqueue_in(self, delay: timedelta | float, what: Any, /, *args: Any, **kwargs: Any) -> SyncJob[Any]:
        """See `Batch.enqueue_in`."""
        return self._job(cast(Any, self.batch.enqueue_in(delay, what, *args, **kwargs)))

    @overload
    def enqueue_at(
        self, when: datetime, fn: Definition[P, R], /, *args: P.args, **kwargs: P.kwargs
    ) -> SyncJob[R]: ...
    @overload
    def enqueue_at(self, when: datetime, call: Call[R], /) -> SyncJob[R]: ...
    def enqueue_at(self, when: datetime, what: Any, /, *args: Any, **kwargs: Any) -> SyncJob[Any]:
        """See `Batch.enqueue_at`."""
        return self._job(cast(Any, self.batch.enqueue_at(when, what, *args, **kwargs)))

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
        """See `Batch.continue_with`."""
        return self._job(cast(Any, self.batch.continue_with(parents, what, *args, **kwargs)))

    def enqueue_many(self, calls: Iterable[Call[R]], /) -> list[SyncJob[R]]:
        """See `Batch.enqueue_many`. The iterable is gone through on the client's own thread."""
        found = self._client.run(self.batch.enqueue_many(calls))
        return [SyncJob(self._client, job) for job in found]

    def _job(self, verb: Coroutine[Any, Any, Job[R]]) -> SyncJob[R]:
        return SyncJob(self._client, self._client.run(verb))

    @contextmanager
    def nest(self, name: str = "", /) -> Generator[BatchBuilder, None, None]:
        """See `Batch.batch`: a batch that becomes a member of this one when its block ends."""
        builder = self.batch.batch(name)
        try:
            yield builder
        except BaseException:
            builder.discard()
            raise
        self._client.run(builder.commit())
