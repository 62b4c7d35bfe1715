"""What crosses the storage contract, as plain data. Times are ms since 1970 by the storage's clock."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import Enum, StrEnum

import msgpack


class State(StrEnum):
    """The states of a job. `staging` is for members of a batch that isn't committed yet."""

    STAGING = "staging"
    AWAITING = "awaiting"
    SCHEDULED = "scheduled"
    ENQUEUED = "enqueued"
    THROTTLED = "throttled"
    PROCESSING = "processing"
    RETRYING = "retrying"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def is_final(self) -> bool:
        """True of `succeeded`, `failed` and `cancelled`: the job runs again only if somebody requeues it."""
        return self in FINAL_STATES


FINAL_STATES = frozenset({State.SUCCEEDED, State.FAILED, State.CANCELLED})

PRIORITY_LIMIT = 500
"""Priorities go from -500 to 500; 0 is the plain queue, higher runs earlier."""

STUB_MS = 60_000
"""How long a removed job's id is remembered, so that a create sent again doesn't bring it back."""

HISTORY_LIMIT = 100
"""Entries kept of a job's history; the oldest go first."""

LOG_LIMIT = 1_000
"""Lines kept of a job's log; the oldest go first."""

PROMOTE_LIMIT = 200
"""Due jobs moved by one exchange, of the scheduled and of the retrying ones each."""

SKIP_LIMIT = 500
"""Ids that one exchange skips in a queue because their job isn't enqueued there any more."""


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


class Created(Enum):
    """What became of one create."""

    CREATED = 0
    EXISTS = 1
    """A job of that id is there, or was removed less than `STUB_MS` ago: nothing was changed."""


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


# ---- reading -------------------------------------------------------------------------------------------


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
    """When it last became `enqueued`; 0 if it never did."""
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


@dataclass(slots=True)
class HistoryEntry:
    """One unusual transition of a job."""

    at_ms: int
    event: str
    """`failed` (an attempt failed for good), `retrying`, `snoozed`, `released`, `recovered`, `poisoned`,
    `cancelled`, `requeued`, `promoted`."""
    attempt: int
    worker: str
    """The worker it happened to; "" where none was concerned."""
    error_type: str = ""
    error_message: str = ""
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


class Deleted(Enum):
    """What became of a delete."""

    DELETED = 0
    RUNNING = 1
    """It is running: nothing was changed."""
    MISSING = 2


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
