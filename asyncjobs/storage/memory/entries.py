"""What a shard in memory holds: jobs, batches, queues, workers, as plain data."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import Enum, auto

from asyncjobs.storage import base
from asyncjobs.storage.base import (
    BatchState,
    Finished,
    HistoryEntry,
    JobRecord,
    LogLine,
    NewJob,
    Parent,
    RecurringRecord,
    State,
    UniqueClaim,
)
from asyncjobs.storage.memory.ordered import Ordered

REQUESTS_REMEMBERED = 4
"""How many requests by hand a job remembers, to answer one that is sent again."""


class Place(Enum):
    """Where in its queue a job's id lies."""

    NOWHERE = auto()
    SUSPECTS = auto()
    PRIORITIZED = auto()
    PLAIN = auto()


@dataclass(slots=True)
class Job(JobRecord):
    """A job: what readers see of it, and what only the transitions need."""

    max_recoveries: int = 3
    deaths: int = 0
    """Deaths of workers that it was the suspect of."""
    exchange: int = 0
    """Its lease's token, while it is processing."""
    delay_ms: int = 0
    not_before_ms: int = 0
    """When it is due, once it has waited for its parents and its batch."""
    outputs: dict[str, bytes] = field(default_factory=dict[str, bytes])
    """Packed results of its parents, by their ids."""
    receipts: set[str] = field(default_factory=set[str])
    """Parents on other shards whose end it hasn't heard of."""
    place: Place = Place.NOWHERE
    """Where its id lies in its queue, while it is enqueued."""
    ghost_in: str = ""
    """The queue where its id lies as a ghost, though it isn't enqueued there any more; "" for none."""
    ghost_place: Place = Place.NOWHERE
    """Where it does so there."""
    claim: UniqueClaim | None = None
    """Of a unique key."""
    expires_ms: int = 0
    was_suspect: bool = False
    """It was one before it was throttled."""
    requests: deque[str] = field(default_factory=lambda: deque[str](maxlen=REQUESTS_REMEMBERED))
    inboxes: list[str] = field(default_factory=list[str])
    past: deque[HistoryEntry] = field(default_factory=lambda: deque[HistoryEntry](maxlen=base.HISTORY_LIMIT))
    log: deque[LogLine] = field(default_factory=lambda: deque[LogLine](maxlen=base.LOG_LIMIT))

    @classmethod
    def of(cls, new: NewJob, now: int) -> Job:
        """A job as it begins, before it is anywhere."""
        return cls(
            id=new.id,
            name=new.name,
            queue=new.queue,
            state=State.STAGING,
            payload=new.payload,
            options=new.options,
            priority=new.priority,
            max_recoveries=new.max_recoveries,
            created_ms=now,
            unique=new.unique.key if new.unique else "",
            limits=tuple(new.limits),
            claim=new.unique,
            expires_ms=new.expires_ms,
        )


@dataclass(slots=True)
class Batch:
    """A batch: its state, and who is in it."""

    id: str
    name: str
    parent: str
    created_ms: int
    state: BatchState = BatchState.STAGING
    finished_ms: int = 0
    touched_ms: int = 0
    """When it was last added to."""
    depth: int = 0
    """How many batches are around it."""
    kept_until_ms: int = 0
    """It isn't forgotten before, for the one around it was open when that was looked at."""
    cancel_requested: bool = False
    given_up: bool = False
    """It was left staging, and is being removed."""
    counts: Counter[str] = field(default_factory=Counter[str])
    """`total`, a number for each final state, `nested`, `nested_succeeded`, `nested_failed`."""
    members: list[str] = field(default_factory=list[str])
    inboxes: list[str] = field(default_factory=list[str])


class Word(Enum):
    """What one shard has to say to another."""

    ASK = "A"
    """To the parent's: the child waits, and wants to be told."""
    LEAVE = "D"
    """To the parent's: the child doesn't wait any more."""
    END = "E"
    """To the child's: its parent has ended."""


@dataclass(slots=True)
class Message:
    """Word from one shard to a job, or about it, on another."""

    word: Word
    child: str
    parent: Parent
    ending: State | None = None
    output: bytes | None = None

    @property
    def to(self) -> str:
        """The job or batch whose shard it is for."""
        return self.child if self.word is Word.END else node_of(self.parent)

    @property
    def order(self) -> tuple[str, str, str]:
        """In which order messages are delivered."""
        other = node_of(self.parent) if self.word is Word.END else self.child
        return self.word.value, self.to, other


def node_of(parent: Parent) -> str:
    """What a parent is called where jobs and batches are kept together."""
    return f"~{parent.id}" if parent.batch else parent.id


@dataclass(slots=True)
class Queue:
    """A queue. Its jobs run in the order of `Shard.in_order`."""

    paused: bool = False
    marker: bool = False
    """Work may be waiting here: whoever takes the marker owes an exchange."""
    suspects: deque[str] = field(default_factory=deque[str])
    """Recovered jobs; of them, a worker runs one at a time."""
    prioritized: Ordered = field(default_factory=Ordered)
    """Jobs of another priority than 0, ranked by (-priority, when enqueued)."""
    plain: deque[str] = field(default_factory=deque[str])
    """Jobs of priority 0."""

    def ids(self) -> Iterator[tuple[Place, str]]:
        """All ids in it, ghosts too, in the order in which they'd run."""
        yield from ((Place.SUSPECTS, job_id) for job_id in self.suspects)
        yield from ((Place.PRIORITIZED, job_id) for job_id in self.prioritized.up_to(-1))
        yield from ((Place.PLAIN, job_id) for job_id in self.plain)
        yield from ((Place.PRIORITIZED, job_id) for job_id in self.prioritized.beyond(0))

    def take(self, *, suspects: bool) -> tuple[Place, str] | None:
        """Take out the first id, which may be a ghost; None if there is none. `suspects`: of them, too."""
        if suspects and self.suspects:
            return Place.SUSPECTS, self.suspects.popleft()
        first = self.prioritized.first_rank()
        if self.plain and (first is None or first > 0):
            return Place.PLAIN, self.plain.popleft()
        if first is not None:
            return Place.PRIORITIZED, self.prioritized.take()
        return None

    def discard(self, place: Place, job_id: str) -> None:
        """Take an id out of one of the lists."""
        ids = self.suspects if place is Place.SUSPECTS else self.plain
        if job_id in ids:
            ids.remove(job_id)

    @property
    def has_ids(self) -> bool:
        """Whether anything lies in it, were it ghosts alone."""
        return bool(self.suspects or self.prioritized or self.plain)


@dataclass(slots=True)
class Worker:
    """A registered worker."""

    lease_ms: int
    info: dict[str, object] = field(default_factory=dict[str, object])
    deadline_ms: int = 0
    reaping: bool = False
    command: str = ""
    nudged: bool = False
    """Something is there to be read by its next heartbeat."""
    number: int = 0
    """Of its last exchange."""
    results: list[Finished] = field(default_factory=list[Finished])
    """What its last exchange answered to the finishes."""
    granted: list[str] = field(default_factory=list[str])
    """What its last exchange granted."""
    leases: set[str] = field(default_factory=set[str])
    suspect: str = ""
    """The recovered job that it runs; "" for none."""


@dataclass(slots=True)
class RecurringJob(RecurringRecord):
    """A recurring job: what readers see of it, and what only the transitions need."""

    timing: str = ""
    seen_ms: int = 0
    """When a worker last declared its id."""
    held_ms: int = 0
    """When a worker last declared this revision of it."""
    code: str = ""
    """The revision that the code of workers says, if it was rescheduled by hand."""
    open: list[str] = field(default_factory=list[str])
    """Its last jobs."""


@dataclass(slots=True)
class LockWaiter:
    """One that waits for a lock."""

    token: str
    inbox: str
    since_ms: int
    until_ms: int = 0
    """It waits no longer than this unless it tries again."""


@dataclass(slots=True)
class Recurring:
    """The recurring jobs of a shard."""

    jobs: dict[str, RecurringJob] = field(default_factory=dict[str, RecurringJob])
    looks: Ordered = field(default_factory=Ordered)
    """By when they are looked at next; those that aren't, by `NEVER`."""
    alive_ms: int | None = None
    """When any worker last looked."""
    hold_ms: int = 0
    """None is orphaned before this time."""
    claim: tuple[int, str] | None = None
    """When the next one is looked at, and the worker that will come for it."""
