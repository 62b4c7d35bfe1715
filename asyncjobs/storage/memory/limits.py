"""The limits of a shard in memory: what is counted of each, and who waits for it."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from asyncjobs.clock import Clock
from asyncjobs.storage.base import LimitUse, Numbers
from asyncjobs.storage.memory.entries import Job
from asyncjobs.storage.memory.ordered import Ordered


@dataclass(slots=True)
class Limit:
    """One key of a limit."""

    id: str
    running: set[str] = field(default_factory=set[str])
    starts: deque[int] = field(default_factory=deque[int])
    """Within the last span of time, the oldest first."""
    enqueued: dict[str, set[str]] = field(default_factory=dict[str, set[str]])
    """By queue, the jobs that it has let in."""
    waiting: dict[str, Ordered] = field(default_factory=dict[str, Ordered])
    """By queue, the jobs that wait for it, by priority and by when they were enqueued first."""
    opens_ms: int | None = None
    """When its window opens next, where jobs wait for that."""

    @property
    def name(self) -> str:
        """The limit's."""
        return self.id.partition(":")[0]

    @property
    def is_active(self) -> bool:
        """Whether there is anything to know of it."""
        return bool(self.running or self.starts or any(self.enqueued.values()) or self.waits)

    @property
    def waits(self) -> list[str]:
        """The queues whose jobs wait for it."""
        return sorted(queue for queue, jobs in self.waiting.items() if jobs)


class Limits:
    """All of them, and their numbers."""

    def __init__(self, now: Clock) -> None:
        self.now = now
        self.by_id: dict[str, Limit] = {}
        self.numbers: dict[str, tuple[Numbers, bool]] = {}
        """By name, with whether they were set by hand."""
        self.renumbered: list[str] = []
        """Names whose numbers have changed: jobs may be let in."""
        self._touched: dict[str, Limit] = {}

    def take_touched(self) -> list[Limit]:
        """Those that were changed since this was called last."""
        touched = list(self._touched.values())
        self._touched.clear()
        return touched

    def touch(self, limit: Limit) -> None:
        """Note that it has changed."""
        self._touched.setdefault(limit.id, limit)

    def numbers_of(self, limit: Limit, use: LimitUse | None = None) -> Numbers:
        """Those that count; without any limit where none are known."""
        known = self.numbers.get(limit.name)
        if known is not None:
            return known[0]
        return use.numbers if use is not None else Numbers(10**9)

    def get(self, limit_id: str, use: LimitUse | None = None) -> Limit:
        """The limit of an id, up to date: starts that have left its window are forgotten."""
        limit = self.by_id.setdefault(limit_id, Limit(limit_id))
        per_ms = self.numbers_of(limit, use).per_ms
        if per_ms:
            before = len(limit.starts)
            while limit.starts and limit.starts[0] <= self.now() - per_ms:
                limit.starts.popleft()
            if len(limit.starts) < before or not limit.starts:
                self.touch(limit)
        elif limit.starts:
            # It isn't a rate any more.
            limit.starts.clear()
            self.touch(limit)
        return limit

    def room(self, limit: Limit, queue: str, use: LimitUse | None = None) -> int:
        """How many more jobs of a queue may be enqueued."""
        return self.free(limit, use) - len(limit.enqueued.get(queue, ()))

    def free(self, limit: Limit, use: LimitUse | None = None) -> int:
        """How many more jobs may be granted."""
        numbers = self.numbers_of(limit, use)
        return numbers.most - len(limit.starts if numbers.per_ms else limit.running)

    # -- a job's way --

    def declare(self, use: LimitUse) -> None:
        """The last one's numbers who made a job count, unless they were set by hand, for one of that kind."""
        known = self.numbers.get(use.name)
        if known is not None:
            numbers, by_hand = known
            same_kind = bool(numbers.per_ms) == bool(use.numbers.per_ms)
            if (by_hand and same_kind) or (not by_hand and numbers == use.numbers):
                return
        self.numbers[use.name] = use.numbers, False
        if known is not None:
            self.renumbered.append(use.name)

    def full_for(self, job: Job) -> Limit | None:
        """The first of a job's limits that doesn't let it into its queue; None: all do."""
        for use in job.limits:
            limit = self.get(use.id, use)
            if self.room(limit, job.queue, use) <= 0 or limit.waiting.get(job.queue):
                return limit
        return None

    def enter(self, job: Job) -> None:
        """It is in its queue."""
        for use in job.limits:
            limit = self.get(use.id, use)
            limit.enqueued.setdefault(job.queue, set()).add(job.id)
            self.touch(limit)

    def leave_queue(self, job: Job) -> None:
        """It isn't any more."""
        for use in job.limits:
            limit = self.get(use.id, use)
            limit.enqueued.get(job.queue, set()).discard(job.id)
            self.touch(limit)

    def acquire(self, job: Job) -> Limit | None:
        """It left its queue, and holds all of its limits; or the first of them that it can't have."""
        self.leave_queue(job)
        for use in job.limits:
            limit = self.get(use.id, use)
            if self.free(limit, use) <= 0:
                return limit
        for use in job.limits:
            limit = self.get(use.id, use)
            if not use.numbers.per_ms:
                limit.running.add(job.id)
            if self.numbers_of(limit, use).per_ms:
                limit.starts.append(self.now())
            self.touch(limit)
        return None

    def release(self, job: Job) -> None:
        """It doesn't hold them any more."""
        for use in job.limits:
            limit = self.get(use.id, use)
            limit.running.discard(job.id)
            self.touch(limit)

    def wait(self, job: Job, limit: Limit) -> None:
        """It waits for one."""
        job.throttled_by = limit.id
        at = job.enqueued_ms or job.created_ms
        limit.waiting.setdefault(job.queue, Ordered()).put(job.id, -job.priority, at)
        self.touch(limit)

    def stop_waiting(self, job: Job) -> None:
        """It doesn't wait any more."""
        limit = self.get(job.throttled_by)
        if job.queue in limit.waiting and limit.waiting[job.queue].discard(job.id):
            self.touch(limit)
        job.throttled_by = ""

    # -- windows --

    def next_window(self) -> int | None:
        """When the next window opens that jobs wait for."""
        return min((one.opens_ms for one in self.by_id.values() if one.opens_ms is not None), default=None)

    def open_windows(self, most: int) -> bool:
        """Note those whose window has opened, up to `most`; whether that many were."""
        now = self.now()
        due = sorted(
            (one.opens_ms, one.id) for one in self.by_id.values() if one.opens_ms and one.opens_ms <= now
        )
        for _, limit_id in due[:most]:
            limit = self.get(limit_id)
            limit.opens_ms = None
            self.touch(limit)
        return len(due) >= most

    def plan_window(self, limit: Limit) -> bool:
        """Note when its window opens, if jobs wait for that; whether nobody had noted it before."""
        per_ms = self.numbers_of(limit).per_ms
        if not per_ms:
            return False
        before = limit.opens_ms
        waits = limit.starts and limit.waits
        limit.opens_ms = limit.starts[0] + per_ms if waits else None
        return before is None and limit.opens_ms is not None

    def forget_idle(self, limits: Iterable[Limit]) -> None:
        """Forget those of them that there is nothing to know of."""
        for limit in limits:
            if not limit.is_active and limit.opens_ms is None:
                self.by_id.pop(limit.id, None)

    def active(self) -> Iterator[Limit]:
        """Those that there is anything to know of, by id."""
        for limit_id in sorted(self.by_id):
            limit = self.get(limit_id)
            if limit.is_active:
                yield limit
