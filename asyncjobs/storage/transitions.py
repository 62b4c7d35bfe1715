"""What transitions take, and answer. Times are ms since 1970 by the storage's clock."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum

from asyncjobs.storage.dependencies import Parent
from asyncjobs.storage.limits import LimitUse
from asyncjobs.storage.states import State
from asyncjobs.storage.unique import UniqueClaim

# ---- creating ------------------------------------------------------------------------------------------


@dataclass(slots=True)
class NewJob:
    """A job to be created."""

    id: str
    name: str
    queue: str
    payload: bytes = b""
    """The packed arguments; empty for none."""
    priority: int = 0
    delay_ms: int = 0
    """Due this long after its creation. More than 0: it begins `scheduled`."""
    due_ms: int = 0
    """Due at this time. In the storage's future: it begins `scheduled`; else `enqueued`."""
    options: bytes = b""
    """Packed options of this call that differ from the definition's; for the worker alone."""
    max_recoveries: int = 3
    """How many deaths of a worker it may be the suspect of before it is failed."""
    parents: Sequence[Parent] = ()
    """What it waits for first, each at most once: it begins `awaiting`, unless all of that is met already."""
    batch: str = ""
    """The batch that it is a member of, on the same shard. `staging` until that is committed."""
    unique: UniqueClaim | None = None
    """The key that it claims, on the same shard."""
    limits: Sequence[LimitUse] = ()
    """The limits that it is under, on the same shard, each at most once."""
    expires_ms: int = 0
    """It isn't granted any more when so long has passed since it could first be: it becomes `cancelled`. 0:
    it always is."""


class Created(Enum):
    """What became of one create."""

    CREATED = 0
    EXISTS = 1
    """A job of that id is there, or was removed less than `STUB_MS` ago: nothing was changed."""
    PARENT_GONE = 2
    """A parent isn't there (any more): nothing was written."""
    BATCH_GONE = 3
    """Its batch isn't there (any more): nothing was written."""
    BATCH_CANCELLED = 4
    """Its batch is cancelled: nothing was written."""
    CONFLICT = 5
    """Another job holds its unique key, and doesn't make way: nothing was written.

    `Storage.create` answers with a `Conflict`.
    """


# ---- running -------------------------------------------------------------------------------------------


@dataclass(slots=True, frozen=True)
class Retention:
    """How long finished jobs are kept: per list a greatest age (ms) and a greatest number."""

    succeeded_ms: int = 86_400_000
    failed_ms: int = 90 * 86_400_000
    cancelled_ms: int = 86_400_000
    max_jobs: int = 100_000

    def age_ms(self, state: State) -> int:
        """The greatest age of a final state's jobs."""
        if state is State.SUCCEEDED:
            return self.succeeded_ms
        return self.failed_ms if state is State.FAILED else self.cancelled_ms


class Outcome(Enum):
    """How an attempt ended."""

    SUCCEEDED = 0
    FAILED = 1
    """For good: no retry is left or wanted."""
    RETRY = 2
    """Failed, and due again after `delay_ms`."""
    SNOOZE = 3
    """Due again after `delay_ms`, and this attempt doesn't count."""
    CANCELLED = 4
    RELEASED = 5
    """Given back unfinished (shutdown): at once to the head of its queue, and this attempt doesn't count."""


@dataclass(slots=True)
class Finish:
    """The end of an attempt. `exchange` is the lease's token: the number of the exchange that granted it."""

    id: str
    exchange: int
    outcome: Outcome
    result: bytes = b""
    """The packed return value, of `SUCCEEDED` only; empty for None or when it isn't kept."""
    delay_ms: int = 0
    error: bytes = b""
    """A packed `AttemptError` (see `pack_error`), of `FAILED`, `RETRY` and `CANCELLED`; else empty."""
    retention_ms: int = -1
    """How long this job is kept once it is final: -1 = as its list's `Retention` says, 0 = not at all."""
    result_kept: bool = True
    """False: the job succeeded with `keep_result=False`, and readers are told so."""


class Finished(Enum):
    """What became of one `Finish`."""

    DONE = 0
    LOST = 1
    """The lease isn't this worker's any more (or the job is gone): nothing of the job was changed."""


@dataclass(slots=True)
class Grant:
    """A lease on a job's attempt, with what is needed to run it."""

    id: str
    name: str
    queue: str
    payload: bytes
    options: bytes
    attempt: int
    """From 1."""
    failures: int
    """Failed attempts that count against the retries."""
    recoveries: int
    """Times that a worker died while running it."""
    enqueued_ms: int
    """When it became `enqueued` for this attempt."""
    exchange: int
    """The lease's token."""
    batch: str = ""
    """The batch that it is a member of."""
    outputs: Mapping[str, bytes] | None = None
    """Packed results of parents that are handed to it, by their ids; None if it takes none."""


@dataclass(slots=True)
class ExchangeRequest:
    """What a worker hands in and asks for, on one shard."""

    worker: str
    number: int
    """Counts a worker's exchanges on a shard, from 1. The same number again gets the same reply again."""
    slots: int
    """Jobs it can start at once."""
    queues: Sequence[str]
    """In the order in which they are to be emptied."""
    popped: Sequence[str] = ()
    """Queues whose marker this worker has taken since its last exchange."""
    finishes: Sequence[Finish] = ()
    retention: Retention = field(default_factory=Retention)


@dataclass(slots=True)
class ExchangeReply:
    """What a worker gets back."""

    now_ms: int
    results: list[Finished]
    """One for each of the request's `finishes`, in order."""
    grants: list[Grant]
    next_due_ms: int | None
    """When the shard's earliest scheduled or retrying job is due; None: nothing waits."""
    due_claimed: bool
    """True: it is this worker's to exchange at that time; False: another registered worker has claimed the
    same time, so this one need only look a little later."""
    more: bool
    """True: a bound was reached (due jobs, skipped ids); exchange again at once."""
    follow_ups: bool
    """True: more follows from this than one step may do, so somebody should `carry_on`."""
    dropped: list[str]
    """Ids found in a queue, or due, whose job is gone or broken and that nobody had removed or cancelled."""


# ---- workers -------------------------------------------------------------------------------------------


@dataclass(slots=True)
class HeartbeatReply:
    """What a worker is told once a second."""

    now_ms: int
    cancelled: list[str]
    """Jobs it runs that somebody asked to cancel; repeated until they have ended."""
    held: list[tuple[str, int]] | None
    """(id, exchange) of every lease the storage has for it; None when their number is the one it said."""
    expired: bool
    """True: another worker's lease has run out, so somebody should `reap`."""
    follow_ups: bool
    """True: somebody should `carry_on`."""
    command: str
    """"", "quiet" (take no new jobs) or "stop"."""


@dataclass(slots=True)
class ReapReply:
    """What one step of reaping did."""

    recovered: list[str]
    """Jobs put back in their queues, as suspects."""
    failed: list[str]
    """Jobs that were the suspect of too many deaths."""
    cancelled: list[str]
    """Jobs that had been asked to be cancelled."""
    more: bool
    """True: there is more to reap now."""


# ---- by hand -------------------------------------------------------------------------------------------


class Cancelled(Enum):
    """What became of a cancel."""

    CANCELLED = 0
    REQUESTED = 1
    """It is running: its worker has been told, and it will end as `cancelled` unless it finishes first."""
    FINAL = 2
    """It had ended already: nothing was changed."""
    MISSING = 3


class Requeued(Enum):
    """What became of a requeue or a promote."""

    REQUEUED = 0
    WRONG_STATE = 1
    """Its state doesn't allow it: nothing was changed."""
    MISSING = 2
    BATCH_CANCELLED = 3
    """Of a requeue: its batch is cancelled, so that it would be, too. Nothing was changed."""
    NOT_UNIQUE = 4
    """Of a requeue: another job holds its unique key. Nothing was changed."""


class Moved(Enum):
    """What became of a move to another queue."""

    MOVED = 0
    """It is of that queue (perhaps it was before)."""
    RUNNING = 1
    """It is running: nothing was changed."""
    MISSING = 2


class Deleted(Enum):
    """What became of a delete."""

    DELETED = 0
    RUNNING = 1
    """It is running: nothing was changed."""
    MISSING = 2
