"""What one shard holds, and the steps that several transitions share.

A shard is changed by one thread at a time: whoever touches it holds `Shard.lock`, and never across an
`await`. So every transition is atomic, and a heartbeat gets through while the event loop is blocked.

Where a job's id is follows from its state: `scheduled` and `retrying` jobs and final ones lie in
`Shard.lists`, an `enqueued` one in its queue, a `processing` one among its worker's leases. One exception: an
enqueued job that is cancelled, deleted or moved leaves its id in the queue's FIFO as a ghost, which whoever
comes to it skips, so that cancelling costs the same however long the queue is. A job has one ghost at most.
"""

from __future__ import annotations

import asyncio
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import TypeVar

from asyncjobs.clock import Clock
from asyncjobs.storage import base
from asyncjobs.storage.base import FINAL_STATES, HistoryEntry, LockRecord, Parent, State
from asyncjobs.storage.memory.entries import Batch, Job, LockWaiter, Message, Place, Queue, Recurring, Worker
from asyncjobs.storage.memory.limits import Limit, Limits
from asyncjobs.storage.memory.ordered import Ordered
from asyncjobs.storage.memory.unique import UniqueKeys
from asyncjobs.storage.records import unpack_error

T = TypeVar("T")


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
        listed = (State.AWAITING, State.SCHEDULED, State.THROTTLED, State.RETRYING, *FINAL_STATES)
        self.lists = {state: Ordered() for state in listed}
        """By when they are due, or by when they became so."""
        self.limits = Limits(clock)
        self.unique = UniqueKeys(self.jobs, clock)
        self.woken_suspects: set[str] = set()
        """Queues that got a suspect back which had been throttled."""
        self.expiring = Ordered()
        """Final jobs with a retention of their own, by when it ends."""
        self.batches: dict[str, Batch] = {}
        self.edges: dict[str, dict[str, tuple[Parent, bool]]] = {}
        """Node → the jobs that wait for it, how, and whether they are on another shard."""
        self.endings: list[tuple[str, State | None]] = []
        """Nodes that jobs wait for, and how they have ended (None: removed), for `follow_up` to deal with."""
        self.moves: dict[str, dict[str, int]] = {}
        """What is to be added to which counters of which batches."""
        self.outbox: list[Message] = []
        self.workers: dict[str, Worker] = {}
        self.inboxes: dict[str, list[str]] = {}
        self.totals: Counter[str] = Counter()
        self.buckets: dict[tuple[int, int], Counter[str]] = {}
        """By unit (ms) and number, the totals of hours and days."""
        self.alive_ms: int | None = None
        """When anybody last registered or renewed a lease."""
        self.hold_ms = 0
        """Nothing is reaped before this time."""
        self.recurring = Recurring()
        self.due_claim: tuple[int, str] | None = None
        """The next due time, and the worker that will come for it."""
        self.locks: dict[str, LockRecord] = {}
        self.lock_waiters: dict[str, dict[tuple[str, str], LockWaiter]] = {}
        """By a lock's name, the tokens and inboxes of who waits for it, and since when."""
        self.fence = 0
        """The last fencing number of a lock."""
        self._waiting: dict[asyncio.Event, asyncio.AbstractEventLoop] = {}

    # -- jobs and their states --

    def is_stub(self, job_id: str) -> bool:
        """Whether an id is that of a job removed lately."""
        return self.stubs.get(job_id, 0) > self.now()

    # `enqueue…` leaves it to the caller to put the queue's marker.

    def enqueue(self, job: Job, *, suspect: bool = False) -> None:
        """→ `enqueued`, at the tail: behind all others of its priority, or behind all other suspects."""
        self._move_to(job, State.ENQUEUED)
        self.limits.enter(job)
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
        self.limits.enter(job)
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
        self.limits.enter(job)
        job.enqueued_ms = self.now()
        self._take_old_place(job)

    def _take_old_place(self, job: Job) -> None:
        job.place = job.ghost_place
        job.ghost_in, job.ghost_place = "", Place.NOWHERE

    def throttle(self, job: Job, limit: Limit, *, suspect: bool = False) -> None:
        """→ `throttled`. For a job whose id isn't in its queue, but perhaps as a ghost."""
        if job.state is State.ENQUEUED:
            job.place = Place.NOWHERE
        else:
            self.leave(job)
        job.state = State.THROTTLED
        job.throttled_ms = self.now()
        job.was_suspect = suspect
        self.lists[State.THROTTLED].put(job.id, job.throttled_ms)
        self.limits.wait(job, limit)

    def unthrottle(self, job: Job) -> bool:
        """A job that a limit has let in: → `enqueued`; True if it is still to be put at its queue's tail."""
        self.lists[State.THROTTLED].discard(job.id)
        job.state, job.throttled_by = State.ENQUEUED, ""
        queue = self.queues[job.queue]
        if job.ghost_in == job.queue:
            self._take_old_place(job)
            return False
        if job.was_suspect:
            job.place = Place.SUSPECTS
            queue.suspects.append(job.id)
        elif job.priority:
            job.place = Place.PRIORITIZED
            queue.prioritized.put(job.id, -job.priority, job.enqueued_ms)
        else:
            job.place = Place.PLAIN
            return True
        return False

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
        self.count(state.value)
        self.lists[state].put(job.id, job.finished_ms)
        self.unique.release(job)
        self.tell(job.id, job.inboxes)
        needed = bool(job.batch) or job.id in self.edges
        if job.batch:
            self.count_in(job.batch, state.value)
        if job.id in self.edges:
            self.endings.append((job.id, state))
        if retention_ms > 0 or (retention_ms == 0 and needed):
            self.expiring.put(job.id, job.finished_ms + retention_ms)
        elif retention_ms == 0:
            self._forget(job, stub=True)

    def count(self, total: str) -> None:
        """One more of what is counted from the beginning, by the hour and by the day."""
        self.totals[total] += 1
        for unit in (3_600_000, 86_400_000):
            self.buckets.setdefault((unit, self.now() // unit), Counter())[total] += 1

    def count_in(self, batch: str, counter: str) -> None:
        """Note that one more of a batch's members is what the counter counts."""
        moves = self.moves.setdefault(batch, {})
        moves[counter] = moves.get(counter, 0) + 1

    def wait_for_parents(self, job: Job) -> None:
        """→ `awaiting`."""
        self._move_to(job, State.AWAITING)
        self.lists[State.AWAITING].put(job.id, self.now())

    def remove(self, job: Job, *, stub: bool = True) -> None:
        """Forget a job; who waits for it is told. The stub keeps a create sent again from reviving it."""
        batch = self.batches.get(job.batch)
        if batch is not None and job.id in batch.members:
            batch.members.remove(job.id)
            if job.state.is_final:
                batch.counts[f"removed {job.state}"] += 1
            else:
                batch.counts[f"removed {State.CANCELLED}"] += 1
                self.count_in(job.batch, State.CANCELLED.value)
        if job.id in self.edges:
            self.endings.append((job.id, None))
        self._forget(job, stub)

    def _forget(self, job: Job, stub: bool) -> None:
        # Of a job that is gone there may be several ghosts: nothing has to be told of it any more.
        job.ghost_in = ""
        self.leave(job)
        self.unique.release(job)
        self.tell(job.id, job.inboxes)
        del self.jobs[job.id]
        now = self.now()
        while self.stubs and self.stubs[oldest := next(iter(self.stubs))] <= now:
            del self.stubs[oldest]
            self.deletions.pop(oldest, None)
        if stub:
            self.stubs[job.id] = now + base.STUB_MS

    def _move_to(self, job: Job, state: State) -> None:
        self.leave(job)
        job.state = state

    def leave(self, job: Job) -> None:
        """Take a job out of where its state keeps it."""
        if job.state is State.ENQUEUED:
            self.limits.leave_queue(job)
            if job.place is Place.PRIORITIZED:
                self.queues[job.queue].prioritized.discard(job.id)
            elif job.place is not Place.NOWHERE and job.ghost_in:
                self.queues[job.queue].discard(job.place, job.id)
            elif job.place is not Place.NOWHERE:
                job.ghost_in, job.ghost_place = job.queue, job.place
            job.place = Place.NOWHERE
        elif job.state is State.PROCESSING:
            self.limits.release(job)
            if worker := self.workers.get(job.worker):
                worker.leases.discard(job.id)
                if worker.suspect == job.id:
                    worker.suspect = ""
        elif job.state in self.lists:
            if job.state is State.THROTTLED:
                self.limits.stop_waiting(job)
            self.lists[job.state].discard(job.id)
            self.expiring.discard(job.id)
            job.due_ms = job.finished_ms = 0

    def take_ghost_out(self, job: Job) -> None:
        """A job's id doesn't lie any more where it isn't enqueued."""
        self.queues[job.ghost_in].discard(job.ghost_place, job.id)
        job.ghost_in, job.ghost_place = "", Place.NOWHERE

    def tell(self, node: str, inboxes: list[str]) -> None:
        """Tell those that wait for the end of a job or batch, or for a lock."""
        for inbox in inboxes:
            self.inboxes.setdefault(inbox, []).append(node)
        inboxes.clear()
        self._ring()

    def record(self, job: Job, event: str, *, worker: str = "", error: bytes = b"", reason: str = "") -> None:
        """Add an unusual transition to a job's history."""
        told = ("", reason, "") if reason else unpack_error(error)
        job.past.append(HistoryEntry(self.now(), event, job.attempt, worker, *told))

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

    def lies_at(self, name: str, place: Place, job_id: str) -> Job | None:
        """The job whose id was found at a place of a queue; None if it is a ghost there."""
        job = self.jobs.get(job_id)
        if job and job.state is State.ENQUEUED and job.queue == name and job.place is place:
            return job
        return None

    def in_order(self, name: str) -> Iterator[Job]:
        """A queue's enqueued jobs in the order in which they'd run, if one worker took them all."""
        for place, job_id in self.queues[name].ids():
            if job := self.lies_at(name, place, job_id):
                yield job

    def skip(self, name: str, place: Place, job_id: str) -> None:
        """A ghost was taken out of a queue: the job, if it is still there, has no old place any more."""
        job = self.jobs.get(job_id)
        if job and job.ghost_in == name and job.ghost_place is place:
            job.ghost_in, job.ghost_place = "", Place.NOWHERE

    def next_due(self) -> int | None:
        """When the earliest scheduled or retrying job is due, or a window opens; None: nothing waits."""
        firsts = (
            self.lists[State.SCHEDULED].first_rank(),
            self.lists[State.RETRYING].first_rank(),
            self.limits.next_window(),
        )
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
