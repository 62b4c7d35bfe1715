"""The live numbers: read once for everybody who looks, and only while somebody looks."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable
from dataclasses import dataclass, field

from asyncjobs import Client, State
from asyncjobs.errors import StorageError
from asyncjobs.monitoring import NamespaceStats, ServerInfo, Throughput, WorkerInfo

logger = logging.getLogger("asyncjobs.dashboard")

KEPT_SECONDS = 600
"""How far back the live graph goes."""
LINGER = 5.0
"""Seconds for which reading goes on after the last one has left: who goes to another page comes back."""
HISTORY_SECONDS = 10.0
"""How often hours and days, and the server's memory, are read."""
HOURS, DAYS = 24, 30
LONGEST_STEP = 30.0
"""Seconds between two readings over which a rate still says something."""


@dataclass(frozen=True, slots=True)
class Point:
    """One moment of the live graph."""

    at: float
    """Seconds since 1970, by the storage's clock."""
    succeeded: float | None
    """Jobs a second since the point before; None: nobody was looking."""
    failed: float | None
    retrying: int
    """Jobs that are retrying then."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Everything that pages show live, as it was at one moment."""

    number: int
    stats: NamespaceStats
    workers: list[WorkerInfo]
    hours: list[Throughput]
    """The last 24, oldest first."""
    days: list[Throughput]
    """The last 30, oldest first."""
    server: ServerInfo
    points: tuple[Point, ...]
    read_at: float = field(default_factory=time.monotonic)

    @property
    def age(self) -> float:
        """Seconds since it was read."""
        return time.monotonic() - self.read_at


class Live:
    """Reads the numbers every `poll` seconds while streams are open; else when a page asks."""

    def __init__(self, client: Client, opening: Callable[[], Awaitable[None]], poll: float) -> None:
        self._client = client
        self._open = opening
        self.poll = poll
        self.watchers = 0
        """Streams that are open."""
        self.trouble: str | None = None
        """Why the last reading failed."""
        self.readings = 0
        """How often the storage was asked."""
        self._snapshot: Snapshot | None = None
        self._points: deque[Point] = deque(maxlen=max(2, int(KEPT_SECONDS / max(poll, 0.1))))
        self._before: tuple[float, int, int] | None = None
        self._slow: tuple[float, list[Throughput], list[Throughput], ServerInfo] | None = None
        self._reading = asyncio.Lock()
        self._changed = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._closed = False
        self._left_at = 0.0
        self._began = 0.0
        self._outdated_at = 0.0

    @property
    def is_idle(self) -> bool:
        """Whether nothing is read by itself, as nobody looks."""
        return self._task is None or self._task.done()

    async def snapshot(self) -> Snapshot:
        """The numbers, at most `poll` seconds old. Raises `StorageError`."""
        if (known := self._fresh()) is not None:
            return known
        async with self._reading:
            # Somebody else may have read them in the meantime.
            return self._fresh() or await self._read()

    def outdate(self) -> None:
        """What was read so far says nothing of a change just made here: read again for the next page."""
        self._outdated_at = time.monotonic()

    async def updates(self) -> AsyncGenerator[Snapshot | str, None]:
        """Each new snapshot, or what is wrong, as long as the caller goes on; the present one first."""
        self.watchers += 1
        if self.is_idle:
            self._task = asyncio.create_task(self._run(), name="asyncjobs dashboard: live numbers")
        told = 0
        try:
            while not self._closed:
                changed = self._changed
                known = self._snapshot
                if self.trouble is not None:
                    yield self.trouble
                elif known is not None and known.number > told and known.age <= 2 * self.poll:
                    told = known.number
                    yield known
                await changed.wait()
        finally:
            self.watchers -= 1
            self._left_at = time.monotonic()

    async def close(self) -> None:
        """End all streams."""
        self._closed = True
        self._tell()
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    def _fresh(self) -> Snapshot | None:
        known = self._snapshot
        if known is None or known.age > self.poll or self._began < self._outdated_at:
            return None
        return known

    def _tell(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()

    async def _run(self) -> None:
        while self.watchers or time.monotonic() - self._left_at < LINGER:
            began = time.monotonic()
            try:
                async with self._reading:
                    if self._snapshot is None or self._snapshot.age >= self.poll / 2:
                        await self._read()
            except StorageError as error:
                self.trouble = str(error)
            except Exception:
                logger.exception("the live numbers can't be read")
                self.trouble = "the numbers can't be read; the log says why"
            self._tell()
            await asyncio.sleep(max(0.05, self.poll - (time.monotonic() - began)))

    async def _read(self) -> Snapshot:
        await self._open()
        self.readings += 1
        client = self._client
        now = self._began = time.monotonic()
        stats, workers = await asyncio.gather(client.stats(), client.workers())
        if self._slow is None or now - self._slow[0] >= HISTORY_SECONDS:
            hours, days, server = await asyncio.gather(
                client.throughput("hour", HOURS), client.throughput("day", DAYS), client.server()
            )
            self._slow = (now, hours, days, server)
        _, hours, days, server = self._slow
        self._add_point(stats)
        number = self._snapshot.number + 1 if self._snapshot is not None else 1
        self._snapshot = Snapshot(number, stats, workers, hours, days, server, tuple(self._points))
        self.trouble = None
        return self._snapshot

    def _add_point(self, stats: NamespaceStats) -> None:
        at = stats.now.timestamp()
        totals = stats.totals
        succeeded, failed = totals.get("succeeded", 0), totals.get("failed", 0)
        before, self._before = self._before, (at, succeeded, failed)
        rates: tuple[float | None, float | None] = (None, None)
        if before is not None:
            passed = at - before[0]
            if passed <= 0:
                return
            if passed <= LONGEST_STEP:
                rates = (max(0, succeeded - before[1]) / passed, max(0, failed - before[2]) / passed)
        self._points.append(Point(at, *rates, stats.counts.get(State.RETRYING, 0)))
        while self._points and at - self._points[0].at > KEPT_SECONDS:
            self._points.popleft()
