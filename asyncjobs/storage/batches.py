"""What crosses the storage contract of batches. Times are ms since 1970 by the storage's clock."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum, StrEnum
from typing import Protocol

NEST_LIMIT = 250
"""How deep batches can be nested: what follows from an end goes up through all of them in one step."""

SWEEP_LIMIT = 50
"""Batches of each kind that one `sweep_batches` gives up or forgets."""

STAGING_MS = 600_000
"""A batch that isn't committed is given up this long after its last member was added."""

BATCH_RETENTION_MS = 7 * 86_400_000
"""How long a finished batch's record is kept."""


class BatchState(StrEnum):
    """The states of a batch."""

    STAGING = "staging"
    """Being written: nothing of it runs or shows."""
    OPEN = "open"
    SUCCEEDED = "succeeded"
    """All its members have."""
    FAILED = "failed"
    """All its members have ended, and not all have succeeded."""
    CANCELLED = "cancelled"
    """It was cancelled, and all its members have ended."""

    @property
    def is_finished(self) -> bool:
        """True when all members have ended. A member that is requeued or added opens it again."""
        return self not in (BatchState.STAGING, BatchState.OPEN)


@dataclass(slots=True)
class NewBatch:
    """A batch to be opened."""

    id: str
    name: str = ""
    """For people."""
    parent: str = ""
    """The batch that it is a member of."""


class Opened(Enum):
    """What became of opening or committing a batch."""

    DONE = 0
    """It is there (perhaps it was before)."""
    MISSING = 1
    """It, or the batch it was to be a member of, is not there (any more)."""
    CANCELLED = 2
    """The batch that it was to be a member of, or one around that, is cancelled."""
    COMMITTED = 3
    """Of `open_batches`: the first of them is committed already. Nothing was changed."""
    TOO_DEEP = 4
    """More than `NEST_LIMIT` batches would be around it."""


@dataclass(slots=True)
class BatchRecord:
    """A batch as it is stored. Its counters are of its own members, those of nested batches apart."""

    id: str
    name: str
    state: BatchState
    parent: str
    """The batch that it is a member of; "" for none."""
    created_ms: int
    finished_ms: int
    """When it finished; 0 while it hasn't."""
    total: int
    succeeded: int
    failed: int
    cancelled: int
    nested: int
    """Nested batches that are members."""
    nested_succeeded: int
    nested_failed: int
    """Nested batches that finished without success."""
    cancel_requested: bool = False

    @property
    def pending(self) -> int:
        """Jobs that have not ended."""
        return self.total - self.succeeded - self.failed - self.cancelled


@dataclass(slots=True)
class Members:
    """A page of a batch's members, in the order in which they were added."""

    ids: list[str]
    """Of jobs, and of nested batches with a `~` before them."""
    total: int


class BatchStorage(Protocol):
    """What a storage does with batches. A batch, its members, and what is nested in it are on one shard."""

    async def open_batches(self, batches: Sequence[NewBatch]) -> Opened:
        """Make batches of one shard, each → `staging`; a batch comes before those that are nested in it.

        One nested in a batch that is staging is a member of it from now on. One that is there already is left
        as it is; if the first one is `COMMITTED`, nothing more of it is to be sent, for members that have
        ended by now may be forgotten. Jobs that are created into a batch that is staging are `staging` too.
        Raises `StorageFull`: then none was written.
        """
        ...

    async def commit_batch(self, batch_id: str) -> Opened:
        """`staging` → `open`, with all that is nested in it: one step, from which on all of it will run.

        Its members follow in bounded chunks (`carry_on`): → `awaiting`, `scheduled` or `enqueued`. One nested
        in a batch that is not staging becomes a member of it. A batch without members has succeeded at once.
        One that is committed already is left as it is.
        """
        ...

    async def cancel_batch(self, batch_id: str) -> Opened:
        """Cancel a batch: from now on none of its members starts, and none can be added.

        Those that haven't ended → `cancelled` in bounded chunks (`carry_on`), nested batches with them; those
        that run are told. When all have ended, the batch is `cancelled`, unless all have succeeded all the
        same. A finished batch is left as it is; one that is staging is `MISSING`.
        """
        ...

    async def get_batch(self, batch_id: str) -> BatchRecord | None:
        """The batch, or None if there is none (any more)."""
        ...

    async def continuations(self, node: str, *, offset: int = 0, limit: int = 50) -> Members:
        """A page of the jobs that still wait for the end of a job (its id), or a batch (`~` and its id)."""
        ...

    async def members(self, batch_id: str, *, offset: int = 0, limit: int = 50) -> Members:
        """A page of a batch's members."""
        ...

    async def batches(self, *, offset: int = 0, limit: int = 50) -> list[BatchRecord]:
        """A page of the open batches, newest first, and then of the finished ones, latest first."""
        ...

    async def watch_batch(self, batch_id: str, inbox: str) -> BatchRecord | None:
        """Ask that `inbox` be told the batch's id when it finishes (see `Storage.watch`). The batch now."""
        ...

    async def carry_on(self, shard: int) -> bool:
        """Carry on what one step was too short for; True if there is more to do now.

        That is: members of a committed or cancelled batch, continuations of a job or batch that has many,
        word for continuations whose parents are on another shard. Each call does a bounded part; whoever
        calls next goes on from there.
        """
        ...

    async def sweep_batches(self, shard: int) -> bool:
        """Give up batches that were left staging (`STAGING_MS`), and forget those finished long ago.

        A bounded number of each; True if there may be more.

        One that is nested in a staging batch is given up with that, and adding to either puts that off. Of
        the former, everything is removed in bounded chunks (`carry_on`); of the latter, only the batch's own
        record after `BATCH_RETENTION_MS`, unless the batch around it is open: continuations that still wait
        for it are cancelled. Inboxes that watch one that is removed are told.
        """
        ...
