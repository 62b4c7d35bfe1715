"""What readers get across the storage contract. Times are ms since 1970 by the storage's clock."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import msgpack

from asyncjobs.storage.dependencies import Parent
from asyncjobs.storage.limits import LimitUse
from asyncjobs.storage.states import State


@dataclass(slots=True)
class JobRecord:
    """A job as it is stored."""

    id: str
    name: str
    queue: str
    state: State
    payload: bytes = b""
    options: bytes = b""
    priority: int = 0
    created_ms: int = 0
    enqueued_ms: int = 0
    """When it last became `enqueued`, or `throttled` instead; 0 if it never did."""
    due_ms: int = 0
    """When it is due, while `scheduled` or `retrying`; else 0."""
    started_ms: int = 0
    """When its last attempt began; 0 if none has."""
    finished_ms: int = 0
    """When it became final; else 0."""
    attempt: int = 0
    failures: int = 0
    recoveries: int = 0
    worker: str = ""
    """Of its last attempt."""
    result: bytes = b""
    result_kept: bool = True
    cancel_requested: bool = False
    """Its cancellation is asked for, and it hasn't ended yet."""
    progress: float | None = None
    """0 to 1, as the job last said."""
    progress_message: str = ""
    parents: Sequence[Parent] = ()
    """What it waits for, or waited for."""
    unmet: int = 0
    """How many of its parents it still waits for, while `awaiting` or `staging`."""
    batch: str = ""
    """The batch that it is a member of."""
    unique: str = ""
    """The key that it claims, or claimed."""
    limits: Sequence[LimitUse] = ()
    """The limits that it is under, with the numbers that its maker knew."""
    throttled_by: str = ""
    """While `throttled`: the id of the limit that it waits for."""
    throttled_ms: int = 0
    """When it last became `throttled`; 0 if it never did."""
    deadline_ms: int = 0
    """When it isn't worth starting any more; 0 if it always is, or hasn't waited for its parents yet."""


@dataclass(slots=True)
class HistoryEntry:
    """One unusual transition of a job."""

    at_ms: int
    event: str
    """`failed` (an attempt failed for good), `retrying`, `snoozed`, `released`, `recovered`, `poisoned`,
    `cancelled`, `expired` (not started in time, and so cancelled), `requeued`, `promoted`, `repaired` (by
    `Client.repair`)."""
    attempt: int
    worker: str
    """The worker it happened to; "" where none was concerned."""
    error_type: str = ""
    error_message: str = ""
    """Without an `error_type`, what was done: of `repaired`."""
    traceback: str = ""


@dataclass(slots=True)
class LogLine:
    """A line that a job logged."""

    at_ms: int
    attempt: int
    text: str


@dataclass(slots=True)
class Note:
    """Progress and log lines of a running attempt."""

    id: str
    exchange: int
    progress: float | None = None
    message: str = ""
    lines: Sequence[str] = ()


@dataclass(slots=True)
class Page:
    """Some jobs of a list, and how many the list holds in all."""

    jobs: list[JobRecord]
    total: int


@dataclass(slots=True)
class QueueRecord:
    """A queue."""

    name: str
    length: int
    """Jobs that are enqueued in it."""
    paused: bool
    oldest_ms: int | None
    """When the job at its head was enqueued; None if it is empty."""


@dataclass(slots=True)
class Stats:
    """Numbers of the whole namespace."""

    now_ms: int
    counts: dict[State, int]
    """How many jobs are in each state now (staging apart)."""
    totals: dict[str, int]
    """Since the beginning: `succeeded`, `failed`, `cancelled`, `retried`, `recovered`, `trimmed`."""
    queues: list[QueueRecord]
    workers: int
    follow_ups: int = 0
    """Pieces of work under way that any worker carries on (see `Storage.carry_on`)."""


@dataclass(slots=True)
class Bucket:
    """What happened in one hour or day."""

    start_ms: int
    totals: dict[str, int]
    """As in `Stats.totals`; what isn't in it didn't happen."""


@dataclass(slots=True)
class ServerRecord:
    """What is known of the server behind a storage; of several, of all together."""

    version: str
    """Its kind and version; "memory" of a storage in this process."""
    memory: int = 0
    """Bytes that it uses; 0 if it doesn't say."""
    max_memory: int = 0
    """Bytes that it may use; 0 for no limit."""
    clients: int = 0
    """Connections that it has."""
    policy: str = ""
    """What it does when it is full: anything but "noeviction" loses jobs."""
    run_ids: tuple[str, ...] = ()
    """What tells a server from all others, and from itself before it was restarted; as far as it is said."""


@dataclass(slots=True)
class WorkerRecord:
    """A worker as the storage knows it."""

    id: str
    info: dict[str, object]
    """What it says of itself: host, pid, queues, concurrency, started, …"""
    deadline_ms: int
    """When its lease ends unless a heartbeat renews it."""
    running: int
    """Leases it holds (over all shards)."""
    reaping: bool = False


# ---- packed parts, written the same in every storage ----------------------------------------------------


def pack_error(error_type: str, message: str, traceback: str) -> bytes:
    """The packed error of an attempt, as `Finish.error` carries it."""
    return msgpack.packb((error_type, message, traceback), unicode_errors="replace")


def unpack_error(data: bytes) -> tuple[str, str, str]:
    """(type, message, traceback); empty strings where there is none or it can't be read."""
    if not data:
        return "", "", ""
    try:
        error_type, message, traceback = msgpack.unpackb(data)
        return str(error_type), str(message), str(traceback)
    except Exception:
        return "", "", ""
