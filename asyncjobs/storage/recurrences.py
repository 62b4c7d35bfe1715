"""What crosses the storage contract of recurring jobs. Times are ms since 1970 by the storage's clock.

A storage knows nothing of schedules: it keeps a recurring job's definition as bytes, and the time at which it
occurs next. Who comes at that time (any worker; there is no leader) says which jobs are to be made and what
the time after is; the storage carries that out if the next time is still the one that this was worked out
from. So each occurrence is fired once, however many try.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Protocol

from asyncjobs.storage.states import State
from asyncjobs.storage.transitions import NewJob

ORPHAN_MS = 300_000
"""A declared recurring job is orphaned when no worker has renewed its declaration for so long."""

ALIVE_MS = 10_000
"""How exactly is known when any worker last looked for due recurring jobs."""

WAIT_MS = 500
"""How often a recurring job that waits for its last one to end is looked at."""

OPEN_LIMIT = 100
"""Of a recurring job's jobs that haven't ended, so many are known to say whether one runs: the latest."""


@dataclass(slots=True)
class NewRecurring:
    """A recurring job to be put."""

    id: str
    definition: bytes
    """All that workers need to fire it, packed by whoever puts it."""
    revision: str
    """Changes whenever the definition does."""
    timing: str
    """Changes whenever the schedule does: only then the next time is another."""
    declared: bool = False
    """It is declared in the code of a worker; else a client has put it."""


class Put(Enum):
    """What became of a `put_recurring`."""

    KEPT = 0
    """It is there, and its next time is what it was."""
    MOVED = 1
    """It is there, and its next time is the one given (unless it is paused)."""
    TAKEN = 2
    """One of that id is of the other kind, declared or put, and not orphaned: nothing was changed."""


class Renewed(Enum):
    """What a declaration meets."""

    RENEWED = 0
    WANTED = 1
    """It should be put: there is none, or another one that this may replace."""
    OTHER = 2
    """Another declaration of that id stands, whose worker lives."""
    TAKEN = 3
    """A client has put one of that id."""


@dataclass(slots=True)
class Due:
    """A recurring job whose next time has come."""

    id: str
    definition: bytes
    revision: str
    next_ms: int
    """The time that has come; `fire_recurring` is told it again."""
    waiting: bool
    """It was due before, and waits for its last job to end."""


@dataclass(slots=True)
class DueReply:
    """What a look for due recurring jobs has found."""

    now_ms: int
    due: list[Due]
    more: bool
    """There may be more behind these."""
    next_ms: int | None
    """When the next one of the others is to be looked at; None: never."""
    claimed: bool
    """Whether it falls to this worker to come then; others come a little later, in case it died."""
    orphaned: list[str]
    """Those that were found orphaned in this look."""
    dropped: list[str]
    """Those whose records made no sense: they aren't looked at any more."""


@dataclass(slots=True)
class Firing:
    """What is to become of a recurring job whose next time has come."""

    id: str
    revision: str
    expected_ms: int
    """The next time that this was worked out from."""
    next_ms: int | None
    """The next time from now on; None: there is none any more."""
    jobs: Sequence[NewJob] = ()
    """The jobs of the occurrences to be fired, in order, of this shard. A `delay_ms` counts for nothing."""
    last_ms: int = 0
    """The last occurrence among them."""
    missed: int = 0
    """Occurrences that are given up as their time was missed."""
    passed: int = 0
    """Occurrences that are given up as they came while it waited for its last job."""
    overlap: str = "allow"
    """While a job of it hasn't ended: `allow` fires, `skip` gives the occurrences up, `queue` waits."""


class Fired(Enum):
    """What became of a `Firing`."""

    FIRED = 0
    """The jobs are there, and the next time is set."""
    LOST = 1
    """Its next time or its definition isn't what it was (somebody else came first): nothing was changed."""
    WAITS = 2
    """A job of it hasn't ended: it stays due, to be looked at again after `WAIT_MS`."""
    SKIPPED = 3
    """A job of it hasn't ended, or another holds its unique key: the occurrences are given up, and the next
    time is set."""
    REFUSED = 4
    """The queue can't take jobs: the occurrences are given up, and the next time is set."""


class Triggered(Enum):
    """What became of a job made by hand."""

    CREATED = 0
    """It is there (perhaps it was before)."""
    MISSING = 1
    """There is no such recurring job."""
    REFUSED = 2
    """The queue can't take jobs."""
    NOT_UNIQUE = 3
    """Another job holds its unique key."""


class Changed(Enum):
    """What became of rescheduling, pausing, resuming or removing."""

    DONE = 0
    """It is so (perhaps it was before)."""
    MISSING = 1
    """There is no such recurring job."""
    DECLARED = 2
    """It is declared in the code of a living worker, and can't be removed."""
    OUTDATED = 3
    """Its definition isn't the one that what was given was worked out from."""


@dataclass(slots=True)
class RecurringRecord:
    """A recurring job as it is stored."""

    id: str
    definition: bytes
    revision: str
    next_ms: int | None
    """When it occurs next, or has occurred but isn't fired yet; None: not (any more, or until resumed)."""
    declared: bool = False
    orphaned: bool = False
    """It is declared, but by no worker for `ORPHAN_MS`: it isn't fired."""
    original: bytes | None = None
    """The definition that the code of workers says; None unless it was rescheduled by hand."""
    paused: bool = False
    waiting: bool = False
    """It is due, and waits for its last job to end."""
    created_ms: int = 0
    last_ms: int = 0
    """The last occurrence that was fired; 0: none."""
    fired_ms: int = 0
    """When its last job was made, by an occurrence or by hand; 0: never."""
    last_job: str = ""
    """The id of that job."""
    last_state: State | None = None
    """Its state; None: there is none, or it is removed."""
    fired: int = 0
    """Occurrences that were fired."""
    missed: int = 0
    """Occurrences that were given up as their time was missed."""
    skipped: int = 0
    """Occurrences that were given up as a job of it hadn't ended."""
    refused: int = 0
    """Occurrences that were given up as the queue couldn't take jobs."""
    gave_up_ms: int = 0
    """When occurrences were last given up; 0: never."""


@dataclass(slots=True)
class RecurringPage:
    """Some recurring jobs, and how many there are in all."""

    recurring: list[RecurringRecord] = field(default_factory=list[RecurringRecord])
    total: int = 0


class RecurringStorage(Protocol):
    """What a storage does with recurring jobs. Each is on the shard that its id hashes to (`shard_for`)."""

    async def time_ms(self, shard: int) -> int:
        """The storage's time."""
        ...

    async def put_recurring(self, new: NewRecurring, next_ms: int | None) -> Put:
        """Make a recurring job, or replace its definition.

        Its next time becomes `next_ms` if it is new or orphaned or its timing is another; else it stays. A
        paused one stays paused, its counts and its last job stay. A declared one is renewed by that, too.
        Raises `StorageFull`: then nothing was written.
        """
        ...

    async def renew_recurring(
        self, shard: int, declared: Sequence[tuple[str, str]], *, starting: bool
    ) -> tuple[int, list[Renewed]]:
        """Say which recurring jobs (id, revision) a worker declares: the time, and what each meets.

        One whose revision is the stored one, or the code's of one that was rescheduled by hand, is renewed.
        Another revision's is replaced (`WANTED`) if the worker is `starting`, or if nobody has renewed the
        stored one for `ORPHAN_MS`; else it is left as it is, but isn't orphaned while somebody declares its
        id.
        """
        ...

    async def due_recurring(self, shard: int, worker: str, limit: int, offset: int = 0) -> DueReply:
        """Find up to `limit` recurring jobs whose next time has come, the earliest first.

        The first `offset` of them are passed over: those that a worker can do nothing with stay the earliest.
        Of those, the ones that are orphaned are taken out: they have no next time from then on. After a time
        in which no worker at all has looked (longer than half of `ORPHAN_MS`), none is orphaned for
        `ORPHAN_MS`.
        """
        ...

    async def fire_recurring(self, firing: Firing) -> Fired:
        """Make the jobs of a recurring job whose time has come, and set its next time, in one step.

        A job whose id exists is left as it is. Raises `StorageFull`: then nothing was written.
        """
        ...

    async def trigger_recurring(self, recurring_id: str, job: NewJob) -> Triggered:
        """Make a job of it by hand, now; the next time stays.

        A job whose id exists is left as it is. Raises `StorageFull`: then nothing was written.
        """
        ...

    async def reschedule_recurring(self, new: NewRecurring, known: str, next_ms: int | None) -> Changed:
        """Give it another definition by hand, made from that of the revision `known`; else it is `OUTDATED`.

        Its next time becomes `next_ms` if its timing is another, unless it is paused or orphaned. Of one that
        is declared, what the code says is kept as `original`: workers who declare just that renew it and
        leave it so, and `put_recurring` ends it, as does rescheduling it to the `original`.
        Raises `StorageFull`: then nothing was written.
        """
        ...

    async def pause_recurring(self, recurring_id: str) -> Changed:
        """Let it occur no more until it is resumed: it has no next time."""
        ...

    async def resume_recurring(self, recurring_id: str, revision: str, next_ms: int | None) -> Changed:
        """Undo `pause_recurring`; its next time is `next_ms`. One that isn't paused is left as it is."""
        ...

    async def remove_recurring(self, recurring_id: str) -> Changed:
        """Forget it; its jobs stay. One that is declared can't be removed unless it is orphaned."""
        ...

    async def get_recurring(self, recurring_id: str) -> RecurringRecord | None:
        """The recurring job, or None if there is none."""
        ...

    async def recurring(self, *, offset: int = 0, limit: int = 50) -> RecurringPage:
        """A page of them by when they're looked at next, those that have no next time last; then by id."""
        ...
