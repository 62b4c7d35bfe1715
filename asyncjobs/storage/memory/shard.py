"""What one shard holds, and the steps that several transitions share.

A shard is changed by one thread at a time: whoever touches it holds `Shard.lock`, and never across an
`await`. So every transition is atomic, and a heartbeat gets through while the event loop is blocked.

Where a job's id is follows from its state: `scheduled` and `retrying` jobs and final ones lie in
`Shard.lists`, an `enqueued` one in its queue, a `processing` one among its worker's leases. One exception: an
enqueued job that is cancelled or deleted leaves its id in the queue's FIFO as a ghost, which whoever comes to
it skips, so that cancelling costs the same however long the queue is.
"""

from __future__ import annotations

import asyncio
import threading
from collections import Counter, deque
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import TypeVar

from asyncjobs.clock import Clock
from asyncjobs.storage import base
from asyncjobs.storage.base import (
    FINAL_STATES,
    Finished,
    HistoryEntry,
    JobRecord,
    LogLine,
    RecurringRecord,
    State,
)
from asyncjobs.storage.memory.ordered import Ordered
from asyncjobs.storage.records import unpack_error

T = TypeVar("T")

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
    place: Place = Place.NOWHERE
    """Where its id lies in its queue, enqueued or as a ghost."""
    requests: deque[str] = field(default_factory=lambda: deque[str](maxlen=REQUESTS_REMEMBERED))
    inboxes: list[str] = field(default_factory=list[str])
    past: deque[HistoryEntry] = field(default_factory=lambda: deque[HistoryEntry](maxlen=base.HISTORY_LIMIT))
    log: deque[LogLine] = field(default_factory=lambda: deque[LogLine](maxlen=base.LOG_LIMIT))

    @property
    def is_ghost(self) -> bool:
        """Its id lies in its queue though it isn't enqueued."""
        return self.state is not State.ENQUEUED and self.place is not Place.NOWHERE


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

    @property
    def has_ids(self) -> bool:
        """Whether anything lies in it, were it ghosts alone."""
        return bool(self.suspects or self.prioritized or self.plain)


@dataclass(slots=True)
class RecurringJob(RecurringRecord):
    """A recurring job: what readers see of it, and what only the transitions need."""

    timing: str = ""
    seen_ms: int = 0
    """When a worker last declared its id."""
    held_ms: int = 0
    """When a worker last declared this revision of it."""
    open: list[str] = field(default_factory=list[str])
    """Its last jobs."""


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


class Shard:
    """One shard."""

    def __init__(self, clock: Clock) -> None:
        self.now: Clock = clock
        self.lock = threading.Condition(threading.RLock())
        """Hold it to touch anything here. Notified when a worker is nudged or a heartbeat link closes."""
        self.jobs: dict[str, Job] = {}
        self.stubs: dict[str, int] = {}
        """Removed ids, and until when they are remembered; the earliest come first."""
        self.deletions: dict[str, str] = {}
        """Of those that were deleted by hand, by which request."""
        self.queues: dict[str, Queue] = {}
        self.lists = {state: Ordered() for state in (State.SCHEDULED, State.RETRYING, *FINAL_STATES)}
        """By when they are due, or by when they ended."""
        self.expiring = Ordered()
        """Final jobs with a retention of their own, by when it ends."""
        self.workers: dict[str, Worker] = {}
        self.inboxes: dict[str, list[str]] = {}
        self.totals: Counter[str] = Counter()
        self.alive_ms: int | None = None
        """When anybody last registered or renewed a lease."""
        self.hold_ms = 0
        """Nothing is reaped before this time."""
        self.recurring = Recurring()
        self.due_claim: tuple[int, str] | None = None
        """The next due time, and the worker that will come for it."""
        self._waiting: dict[asyncio.Event, asyncio.AbstractEventLoop] = {}

    # -- jobs and their states --

    def is_stub(self, job_id: str) -> bool:
        """Whether an id is that of a job removed lately."""
        return self.stubs.get(job_id, 0) > self.now()

    # `enqueue…` leaves it to the caller to put the queue's marker.

    def enqueue(self, job: Job, *, suspect: bool = False) -> None:
        """→ `enqueued`, at the tail: behind all others of its priority, or behind all other suspects."""
        self._move_to(job, State.ENQUEUED)
        job.enqueued_ms = self.now()
        queue = self.queues[job.queue]
        if suspect:
            job.place = Place.SUSPECTS
            queue.suspects.append(job.id)
        elif job.priority:
            job.place = Place.PRIORITIZED
            queue.prioritized.put(job.id, -job.priority, job.enqueued_ms)
        else:
            job.place = Place.PLAIN
            queue.plain.append(job.id)

    def enqueue_first(self, job: Job, *, suspect: bool) -> None:
        """→ `enqueued`, at the head, as a job given back unfinished. `enqueued_ms` stays as it was."""
        self._move_to(job, State.ENQUEUED)
        queue = self.queues[job.queue]
        if suspect:
            job.place = Place.SUSPECTS
            queue.suspects.appendleft(job.id)
        elif job.priority:
            job.place = Place.PRIORITIZED
            queue.prioritized.put(job.id, -job.priority, 0)
        else:
            job.place = Place.PLAIN
            queue.plain.appendleft(job.id)

    def enqueue_in_old_place(self, job: Job) -> None:
        """→ `enqueued` where its id already lies as a ghost."""
        self._move_to(job, State.ENQUEUED)
        job.enqueued_ms = self.now()

    def start(self, job: Job, worker: str, exchange: int) -> None:
        """→ `processing`. For a job whose id was taken out of its queue."""
        job.place = Place.NOWHERE
        job.state = State.PROCESSING
        job.attempt += 1
        job.started_ms = self.now()
        job.worker = worker
        job.exchange = exchange
        self.workers[worker].leases.add(job.id)

    def wait_until_due(self, job: Job, state: State, due_ms: int) -> None:
        """→ `scheduled` or `retrying`."""
        self._move_to(job, state)
        job.due_ms = due_ms
        self.lists[state].put(job.id, due_ms)

    def end(self, job: Job, state: State, *, retention_ms: int = -1) -> None:
        """→ a final state: it is counted, and whoever waits for it is told."""
        self._move_to(job, state)
        job.finished_ms = self.now()
        job.cancel_requested = False
        self.totals[state.value] += 1
        self.lists[state].put(job.id, job.finished_ms)
        self._tell(job)
        if retention_ms > 0:
            self.expiring.put(job.id, job.finished_ms + retention_ms)
        elif retention_ms == 0:
            self.remove(job)

    def remove(self, job: Job, *, stub: bool = True) -> None:
        """Forget a job; who waits for it is told. The stub keeps a create sent again from reviving it."""
        self._leave(job)
        self._tell(job)
        del self.jobs[job.id]
        now = self.now()
        while self.stubs and self.stubs[oldest := next(iter(self.stubs))] <= now:
            del self.stubs[oldest]
            self.deletions.pop(oldest, None)
        if stub:
            self.stubs[job.id] = now + base.STUB_MS

    def _move_to(self, job: Job, state: State) -> None:
        self._leave(job)
        job.state = state

    def _leave(self, job: Job) -> None:
        """Take a job out of where its state keeps it."""
        if job.state is State.ENQUEUED:
            if job.place is Place.PRIORITIZED:
                self.queues[job.queue].prioritized.discard(job.id)
                job.place = Place.NOWHERE
        elif job.state is State.PROCESSING:
            if worker := self.workers.get(job.worker):
                worker.leases.discard(job.id)
                if worker.suspect == job.id:
                    worker.suspect = ""
        elif job.state in self.lists:
            self.lists[job.state].discard(job.id)
            self.expiring.discard(job.id)
            job.due_ms = job.finished_ms = 0

    def _tell(self, job: Job) -> None:
        for inbox in job.inboxes:
            self.inboxes.setdefault(inbox, []).append(job.id)
        job.inboxes.clear()
        self._ring()

    def record(self, job: Job, event: str, *, worker: str = "", error: bytes = b"") -> None:
        """Add an unusual transition to a job's history."""
        job.past.append(HistoryEntry(self.now(), event, job.attempt, worker, *unpack_error(error)))

    # -- queues --

    def queue(self, name: str) -> Queue:
        """A queue, which becomes known if it isn't yet."""
        return self.queues.setdefault(name, Queue())

    def put_marker(self, name: str) -> None:
        """Wake a worker that waits for work of this queue, now or later. A paused queue has no marker."""
        queue = self.queue(name)
        if not queue.paused:
            queue.marker = True
            self._ring()

    def lies_at(self, place: Place, job_id: str) -> Job | None:
        """The job whose id was found at a place of a queue; None if it is a ghost there."""
        job = self.jobs.get(job_id)
        return job if job and job.state is State.ENQUEUED and job.place is place else None

    def in_order(self, name: str) -> Iterator[Job]:
        """A queue's enqueued jobs in the order in which they'd run, if one worker took them all."""
        for place, job_id in self.queues[name].ids():
            if job := self.lies_at(place, job_id):
                yield job

    def skip(self, place: Place, job_id: str) -> None:
        """A ghost was taken out of its queue: the job, if it is still there, has no old place any more."""
        job = self.jobs.get(job_id)
        if job and job.is_ghost and job.place is place:
            job.place = Place.NOWHERE

    def next_due(self) -> int | None:
        """When the earliest scheduled or retrying job is due; None: nothing waits."""
        firsts = (self.lists[State.SCHEDULED].first_rank(), self.lists[State.RETRYING].first_rank())
        return min((first for first in firsts if first is not None), default=None)

    # -- waiting --

    async def wait_for(self, take: Callable[[], T | None], timeout: float) -> T | None:
        """What `take` gives, tried again at each change until it isn't None; None after `timeout` seconds.

        May be called from any event loop; the loop isn't kept busy meanwhile.
        """
        bell = asyncio.Event()
        try:
            with suppress(TimeoutError):
                async with asyncio.timeout(timeout):
                    while True:
                        with self.lock:
                            if (taken := take()) is not None:
                                return taken
                            self._waiting[bell] = asyncio.get_running_loop()
                            bell.clear()
                        await bell.wait()
            return None
        finally:
            with self.lock:
                self._waiting.pop(bell, None)

    def _ring(self) -> None:
        for bell, loop in self._waiting.items():
            # A loop that was closed with a waiter in it has nobody left to wake.
            with suppress(RuntimeError):
                loop.call_soon_threadsafe(bell.set)

    def nudge(self, worker: Worker) -> None:
        """Have a worker's heartbeat thread look at once."""
        worker.nudged = True
        self.lock.notify_all()
