"""What is known of a shard when it is looked at for contradictions, and what is said of one that is found."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Protocol

from asyncjobs.storage.batches import BatchRecord
from asyncjobs.storage.dependencies import Parent
from asyncjobs.storage.limits import LimitUse, Numbers
from asyncjobs.storage.states import State
from asyncjobs.storage.unique import Until

KINDS = {
    "key": "a key holds something of another type than it should",
    "number": "a field that should hold a number holds something else",
    "expiry": "something would never be removed, or would be removed though it is needed",
    "orphan": "a part of a job or batch is left, and the rest is gone",
    "record": "a job's or a worker's record contradicts itself, or can't be read",
    "worker": "a worker's record, its lease and the jobs that it holds don't all exist",
    "lease": "a job is processing without a lease, or a worker holds a lease for nothing",
    "job": "a job isn't where its state says",
    "id": "an id is in a place where its job isn't",
    "cancel": "a cancellation was asked for, and the worker isn't told; or the other way round",
    "member": "a batch and a job don't agree on whether the one is a member of the other",
    "batch": "a batch's counters, state or place in the list don't fit its members",
    "staging": "a batch was never committed, and is left behind",
    "continuation": "a job waits in vain, or for another number of parents than it counts",
    "message": "word for another shard was lost, or is delivered by nobody",
    "follow-up": "work that any worker should carry on makes no sense, or nobody was told of it",
    "unique": "a unique key is held by what can't hold it, or not by the job that should",
    "limit": "a limit doesn't count the jobs that there are, or lets nobody in though it has room",
    "queue": "a queue isn't known though it has jobs, or its length is wrong",
    "marker": "a queue has jobs, and nothing that wakes a worker for them",
    "recurring": "a recurring job won't occur as it should",
    "lock": "a lock or a place in the line for one would never be given up",
}
"""The kinds of findings, in the order in which they have to be mended. These words stay."""

MEND_LIMIT = 500
"""Parents, members or places that one step of mending looks at."""


@dataclass(slots=True, frozen=True)
class Finding:
    """One contradiction."""

    kind: str
    """One of `KINDS`."""
    id: str
    """Of the job, batch, worker, queue, recurring job, lock or key concerned."""
    detail: str
    """What contradicts what, in words."""
    place: str = ""
    """What else is concerned: a list, queue, worker, batch, job, key or field."""
    numbers: tuple[int, ...] = ()
    """Numbers that whoever mends it has to know."""


@dataclass(slots=True, frozen=True)
class Mending:
    """What became of a finding."""

    finding: Finding
    text: str
    """What was done; or, if nothing could be done, what a person should do."""
    is_done: bool


@dataclass(slots=True)
class JobFacts:
    """What matters of a job."""

    state: State
    queue: str = ""
    worker: str = ""
    batch: str = ""
    unmet: int = 0
    parents: tuple[tuple[Parent, bool], ...] = ()
    """Each with whether it is on another shard."""
    unheard: frozenset[str] = frozenset()
    """Parents on other shards whose end it hasn't heard of."""
    continued: bool = False
    """Whether it knows that jobs wait for it."""
    cancel_requested: bool = False
    ghost_in: str = ""
    """The queue that is said to have its id though it isn't enqueued there."""
    stamp: tuple[int, ...] = ()
    """When it was enqueued, began and was throttled: changes whenever it is taken out of a queue."""
    expires: bool = False
    """Whether it is said to have a retention of its own."""
    limits: tuple[LimitUse, ...] = ()
    throttled_by: str = ""
    """The limit that it waits for, or waited for."""
    unique: str = ""
    """The key that it claims."""
    until: Until | None = None
    unreadable: str = ""
    """What is wrong with its record, if nothing else of that makes sense."""
    broken: str = ""
    """What is wrong with its record otherwise."""


@dataclass(slots=True)
class BatchFacts:
    """What matters of a batch."""

    record: BatchRecord
    members: list[str]
    removed: Counter[str] = field(default_factory=Counter[str])
    """How many of its members were removed, by the state they had ended in."""
    touched_ms: int | None = None
    """When it was last added to, while staging."""
    continued: bool = False
    """Whether it knows that jobs wait for it."""
    listed: bool = True
    """Whether it is in the list of batches, among those of its state."""


@dataclass(slots=True)
class WorkerFacts:
    """What matters of a worker."""

    held: set[str] = field(default_factory=set[str])
    """The jobs it holds leases on."""
    known: bool = True
    """Whether there is a record of it."""
    registered: bool = True
    """Whether it has a lease, which runs out if it isn't renewed."""
    reaping: bool = False
    suspect: str = ""
    """The recovered job that it runs."""
    cancels: set[str] | None = None
    """The jobs whose cancellation it is told of; None where that can't be wrong."""


@dataclass(slots=True)
class LimitFacts:
    """What matters of one key of a limit."""

    running: int = 0
    starts: int | None = None
    """Within the span of time of a rate; None where it isn't known."""
    enqueued: dict[str, int] = field(default_factory=dict[str, int])
    """By queue, how many it is said to have let in."""
    waiting: dict[str, int] = field(default_factory=dict[str, int])
    """By queue, how many are said to wait."""
    waiters: dict[str, set[str]] = field(default_factory=dict[str, set[str]])
    """By queue, those that wait."""
    opens: bool = False
    """Whether somebody looks at it when its window opens."""
    listed: bool = True
    """Whether it is in the list of those that there is anything to know of."""
    passes: bool = False
    """Whether what is known of it will be forgotten by itself."""


@dataclass(slots=True)
class RecurringFacts:
    """What matters of a recurring job."""

    definition: bytes | None
    known: bool = True
    """Whether more is known of it than its definition."""
    declared: bool = False
    wanted: bool = False
    """The next worker that declares it puts it anew."""
    next_ms: int | None = None
    """When it occurs next; None: not."""
    next_is_known: bool = True
    looked_at: float | None = None
    """When somebody looks at it; infinite: never; None: that isn't known."""


@dataclass(slots=True)
class Snapshot:
    """A shard, as far as it can contradict itself."""

    now_ms: int
    jobs: dict[str, JobFacts] = field(default_factory=dict[str, JobFacts])
    lists: dict[State, set[str]] = field(default_factory=dict[State, set[str]])
    queues: dict[str, list[str]] = field(default_factory=dict[str, list[str]])
    """Queue → ids in its lists; ids of jobs that aren't enqueued there any more (ghosts) among them."""
    prioritized: dict[str, set[str]] = field(default_factory=dict[str, set[str]])
    ghosts: dict[str, int] = field(default_factory=dict[str, int])
    """Queue → how many ghosts it is said to have."""
    unknown_queues: set[str] = field(default_factory=set[str])
    """Those that have ids, and aren't among the known ones."""
    workers: dict[str, WorkerFacts] = field(default_factory=dict[str, WorkerFacts])
    batches: dict[str, BatchFacts] = field(default_factory=dict[str, BatchFacts])
    lost_batches: set[str] = field(default_factory=set[str])
    """Batches without a record of which something else is left, their list of members for one."""
    given_up: set[str] = field(default_factory=set[str])
    """Batches that are being removed, as they were never committed."""
    edges: dict[str, dict[str, bool]] = field(default_factory=dict[str, dict[str, bool]])
    """Node → the jobs that are to hear of its end, and whether each is on another shard.

    A node is a job's id, or a `~` and a batch's.
    """
    under_way: set[str] = field(default_factory=set[str])
    """Nodes that more is being done for (see `BatchStorage.carry_on`)."""
    expiring: set[str] | None = None
    """Jobs whose own retention is watched; None where that can't be wrong."""
    messages: set[tuple[str, str, str]] = field(default_factory=set[tuple[str, str, str]])
    """Word for other shards: `A` (the child asks), `D` (it doesn't wait any more) or `E` (the parent has
    ended), the child, and the parent's node."""
    limits: dict[str, LimitFacts] = field(default_factory=dict[str, LimitFacts])
    limit_numbers: dict[str, Numbers] = field(default_factory=dict[str, Numbers])
    """By the limit's name."""
    limits_under_way: set[str] = field(default_factory=set[str])
    """Ids of limits, and names, that jobs are being let in for."""
    unique: dict[str, tuple[str, bool]] = field(default_factory=dict[str, tuple[str, bool]])
    """Unique key → the job that holds it, and whether it does for a time."""
    recurring: dict[str, RecurringFacts] = field(default_factory=dict[str, RecurringFacts])
    findings: list[Finding] = field(default_factory=list[Finding])
    """What only the storage itself can see."""


class AuditStorage(Protocol):
    """What a storage does to be checked and repaired."""

    async def snapshot(self, shard: int) -> Snapshot:
        """Read a shard as a whole. O(everything): for checks, never for the work itself."""
        ...

    async def mend(self, shard: int, finding: Finding, *, apply: bool = True) -> Mending | None:
        """Mend what was found, if it is still so when looked at again in one step; None if it isn't.

        `apply=False`: only say what would be done.
        """
        ...

    async def mend_recurring(
        self, shard: int, finding: Finding, revision: str, timing: str, next_ms: int | None, *, apply: bool
    ) -> Mending | None:
        """The same of a recurring job whose definition can be read, and says this."""
        ...
