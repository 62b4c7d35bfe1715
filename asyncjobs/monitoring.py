"""What the client says about queues, workers and the whole namespace."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, cast

from asyncjobs.clock import to_datetime
from asyncjobs.processes import ProcessState
from asyncjobs.storage.base import (
    Bucket,
    LockRecord,
    QueueRecord,
    ServerRecord,
    State,
    Stats,
    WorkerRecord,
)


@dataclass(frozen=True, slots=True)
class QueueInfo:
    """A queue."""

    name: str
    length: int
    """Jobs enqueued in it."""
    paused: bool
    latency: timedelta | None
    """How long the job at its head has been waiting; None if it is empty."""

    @classmethod
    def of(cls, record: QueueRecord, now_ms: int) -> QueueInfo:
        """From a storage's record."""
        waited = (
            None if record.oldest_ms is None else timedelta(milliseconds=max(0, now_ms - record.oldest_ms))
        )
        return cls(record.name, record.length, record.paused, waited)


@dataclass(frozen=True, slots=True)
class ProcessInfo:
    """A background process in a worker."""

    name: str
    state: ProcessState
    since: datetime
    """When it came into this state, by the worker's clock."""
    restarts: int
    """How often it failed, or returned without an `every`."""
    last_error: str
    """What it raised last; empty if it never did."""

    @classmethod
    def of(cls, said: object) -> ProcessInfo | None:
        """From what a worker says of it; None if that can't be read."""
        if not isinstance(said, dict):
            return None
        told = cast(dict[str, Any], said)
        try:
            state, since = ProcessState(told["state"]), to_datetime(int(told["since_ms"]))
            return cls(str(told["name"]), state, since, int(told["restarts"]), str(told["error"]))
        except (LookupError, TypeError, ValueError, OverflowError):
            return None


@dataclass(frozen=True, slots=True)
class WorkerInfo:
    """A worker."""

    id: str
    host: str
    pid: int
    queues: tuple[str, ...]
    concurrency: int
    running: int
    """Jobs that it runs now."""
    started_at: datetime | None
    lease_ends_at: datetime
    """When its jobs are given to others, unless it is heard of before."""
    quiet: bool
    """True: it takes no new jobs."""
    loop_lag: timedelta
    """How late its event loop was, when it last looked."""
    memory: int
    """Bytes of memory that its process holds; 0 where that can't be told."""
    processes: tuple[ProcessInfo, ...] = ()
    """Its background processes, by name (the first 50)."""
    waits: Mapping[int, int] = field(default_factory=dict[int, int])
    """How long jobs have waited that it started within the last minute or two: a sample, by classes of
    durations.

    `timings.percentile` reads it; those of several workers can be added up by `timings.merged`.
    """
    runs: Mapping[int, int] = field(default_factory=dict[int, int])
    """How long they have run, alike."""

    @classmethod
    def of(cls, record: WorkerRecord) -> WorkerInfo:
        """From a storage's record."""
        info = record.info

        def number(key: str) -> int:
            value = info.get(key)
            return value if isinstance(value, int) else 0

        queues = info.get("queues")
        started = number("started_ms")
        processes = info.get("processes")
        said = cast(list[object], processes) if isinstance(processes, (list, tuple)) else []
        return cls(
            id=record.id,
            host=str(info.get("host", "")),
            pid=number("pid"),
            queues=tuple(map(str, queues)) if isinstance(queues, (list, tuple)) else (),  # pyright: ignore[reportUnknownArgumentType, reportUnknownVariableType]
            concurrency=number("concurrency"),
            running=record.running,
            started_at=to_datetime(started) if started else None,
            lease_ends_at=to_datetime(record.deadline_ms),
            quiet=bool(info.get("quiet")),
            loop_lag=timedelta(milliseconds=number("lag_ms")),
            memory=number("memory"),
            processes=tuple(process for each in said if (process := ProcessInfo.of(each)) is not None),
            waits=_histogram(info.get("waits")),
            runs=_histogram(info.get("runs")),
        )


def _histogram(said: object) -> dict[int, int]:
    if not isinstance(said, (list, tuple)):
        return {}
    try:
        return {int(number): int(count) for number, count in cast(list[Any], said)}
    except (TypeError, ValueError):
        return {}


@dataclass(frozen=True, slots=True)
class Throughput:
    """What happened in one hour or day."""

    start: datetime
    totals: Mapping[str, int]
    """`succeeded`, `failed`, `cancelled`, `retried`, `recovered`, `trimmed`; 0 of what isn't in it."""

    @classmethod
    def of(cls, bucket: Bucket) -> Throughput:
        """From a storage's record."""
        return cls(to_datetime(bucket.start_ms), bucket.totals)


@dataclass(frozen=True, slots=True)
class ServerInfo:
    """The server behind a namespace."""

    version: str
    """Its kind and version."""
    memory: int
    """Bytes that it uses; 0 if it doesn't say."""
    max_memory: int
    """Bytes that it may use; 0 for no limit."""
    clients: int
    """Connections that it has."""
    policy: str
    """What it does when it is full: anything but "noeviction" loses jobs."""

    @classmethod
    def of(cls, record: ServerRecord) -> ServerInfo:
        """From a storage's record."""
        return cls(record.version, record.memory, record.max_memory, record.clients, record.policy)


@dataclass(frozen=True, slots=True)
class LockInfo:
    """A lock that is held."""

    name: str
    holder: str
    """Host, process id and something random; of a background process, the same."""
    token: int
    """The holder's fencing number."""
    until: datetime
    """When it is free unless its holder renews it, by the storage's clock."""
    waiting: int
    """How many wait for it."""

    @classmethod
    def of(cls, record: LockRecord) -> LockInfo:
        """From a storage's record."""
        return cls(record.name, record.holder, record.number, to_datetime(record.until_ms), record.waiting)


@dataclass(frozen=True, slots=True)
class NamespaceStats:
    """Numbers of a whole namespace."""

    now: datetime
    """By the storage's clock."""
    counts: Mapping[State, int]
    """Jobs in each state now."""
    totals: Mapping[str, int]
    """Since the beginning: `succeeded`, `failed`, `cancelled`, `retried`, `recovered`, `trimmed`."""
    queues: tuple[QueueInfo, ...]
    workers: int

    @classmethod
    def of(cls, stats: Stats) -> NamespaceStats:
        """From a storage's record."""
        queues = tuple(QueueInfo.of(record, stats.now_ms) for record in stats.queues)
        return cls(to_datetime(stats.now_ms), dict(stats.counts), dict(stats.totals), queues, stats.workers)
